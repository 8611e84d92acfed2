//! A browser without JavaScript for the editor's pages: it keeps cookies and sends the forms of the
//! page that it shows, with all their fields.
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::Value;

use crate::testing::{Answer, Node};

const PASSWORD: &str = "correct horse battery";

pub(in crate::admin) struct Browser<'a> {
    pub(in crate::admin) node: &'a Node,
    cookies: BTreeMap<String, String>,
    pub(in crate::admin) path: String,
    pub(in crate::admin) status: StatusCode,
    pub(in crate::admin) html: String,
    pub(in crate::admin) headers: HeaderMap,
}

impl<'a> Browser<'a> {
    pub(in crate::admin) fn new(node: &'a Node) -> Self {
        Self {
            node,
            cookies: BTreeMap::new(),
            path: String::new(),
            status: StatusCode::OK,
            html: String::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Somebody with a role, signed in with a second factor.
    pub(in crate::admin) async fn staff(node: &'a Node, handle: &str, role: &str) -> Self {
        let mut browser = Self::new(node);
        browser.open("/signup").await;
        browser.submit("/signup", &[("handle", handle), ("password", PASSWORD)]).await;
        sqlx::query("UPDATE account SET role = $2, session_epoch = session_epoch + 1 WHERE handle = $1")
            .bind(handle)
            .bind(role)
            .execute(&node.app.db)
            .await
            .unwrap();
        sqlx::query("DELETE FROM session WHERE account_id = (SELECT id FROM account WHERE handle = $1)")
            .bind(handle)
            .execute(&node.app.db)
            .await
            .unwrap();
        let mut browser = Self::new(node);
        browser.open("/signin").await;
        browser.submit("/signin", &[("handle", handle)]).await;
        browser.submit("/signin/password", &[("password", PASSWORD)]).await;
        if role != "member" {
            browser.open("/signin/enroll").await;
            let secret = browser.html.split("data-text=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            let secret = totp_rs::Secret::try_from_base32(&secret).unwrap();
            let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
            let code = totp.generate(node.app.clock.now().unix_timestamp().unsigned_abs()).to_string();
            browser.submit("/signin/enroll", &[("code", &code)]).await;
        }
        browser
    }

    pub(in crate::admin) async fn send(
        &mut self,
        method: Method,
        path: &str,
        form: Option<String>,
        accept: &str,
    ) -> Answer {
        let cookies = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::ACCEPT_LANGUAGE, "ko")
            .header(header::COOKIE, cookies);
        let body = match form {
            Some(form) => {
                request = request
                    .header(header::ORIGIN, self.node.origin())
                    .header("sec-fetch-site", "same-origin")
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                Body::from(form)
            }
            None => Body::empty(),
        };
        let answer = self.node.send(request.body(body).unwrap()).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
        answer
    }

    /// Opens a page, and those that it leads to.
    pub(in crate::admin) async fn open(&mut self, path: &str) -> &mut Self {
        let answer = self.send(Method::GET, path, None, "text/html").await;
        self.show(path, answer).await
    }

    async fn show(&mut self, path: &str, mut answer: Answer) -> &mut Self {
        path.clone_into(&mut self.path);
        while answer.status == StatusCode::SEE_OTHER {
            self.path = answer.headers[header::LOCATION].to_str().unwrap().to_owned();
            let next = self.path.split('#').next().unwrap().to_owned();
            answer = self.send(Method::GET, &next, None, "text/html").await;
        }
        (self.status, self.headers, self.html) = (answer.status, answer.headers, answer.text);
        self
    }

    /// Returns the fields of the last form with an action, as the browser would send them. A note
    /// above the page can have one that takes the last action back.
    pub(in crate::admin) fn fields(&self, action: &str) -> BTreeMap<String, String> {
        let named = format!("action=\"{action}\"");
        let form =
            self.html.split("<form ").skip(1).filter(|form| form.split('>').next().unwrap().contains(&named)).last();
        let form = form.unwrap_or_else(|| panic!("{} has no form {action}:\n{}", self.path, self.html));
        let form = form.split("</form>").next().unwrap();
        let mut fields = BTreeMap::new();
        for tag in form.split('<').skip(1) {
            let (head, text) = tag.split_once('>').unwrap_or((tag, ""));
            let Some(name) = attribute(head, "name") else { continue };
            let is_box = ["checkbox", "radio"].contains(&attribute(head, "type").unwrap_or_default().as_str());
            if head.starts_with("input") && (!is_box || head.contains(" checked")) {
                fields.insert(name, attribute(head, "value").unwrap_or_default());
            } else if head.starts_with("textarea") {
                fields.insert(name, unescape(text.strip_prefix('\n').unwrap_or(text)));
            } else if head.starts_with("select") {
                let options =
                    form.split(&format!("name=\"{name}\"")).nth(1).unwrap().split("</select>").next().unwrap();
                let chosen = options.split("<option ").skip(1).find(|option| option.contains(" selected"));
                let chosen = chosen.or_else(|| options.split("<option ").nth(1)).unwrap();
                fields.insert(name, attribute(chosen, "value").unwrap_or_default());
            }
        }
        fields
    }

    /// Fills a form and sends it.
    pub(in crate::admin) async fn submit(&mut self, action: &str, filled: &[(&str, &str)]) -> &mut Self {
        let mut fields = self.fields(action);
        fields.extend(filled.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(action, &fields).await
    }

    /// Sends fields to an address.
    pub(in crate::admin) async fn post(&mut self, action: &str, fields: &BTreeMap<String, String>) -> &mut Self {
        let answer = self.send(Method::POST, action, Some(encode(fields)), "text/html").await;
        self.show(action, answer).await
    }

    /// Sends the form as the autosave of the script does.
    pub(in crate::admin) async fn autosave(&mut self, action: &str, fields: &BTreeMap<String, String>) -> Value {
        let answer = self.send(Method::POST, action, Some(encode(fields)), "application/json").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    }

    /// Opens the editor of the first section of a kind, by its Korean name. Returns its path.
    pub(in crate::admin) async fn open_section(&mut self, page: &str, name: &str) -> String {
        self.open(&format!("/admin/pages/{page}")).await;
        let row = self
            .html
            .split("class=\"section-name\" href=\"")
            .skip(1)
            .find(|row| row.contains(&format!("<b>{name}</b>")));
        let path = row.unwrap_or_else(|| panic!("no section {name}")).split('"').next().unwrap().to_owned();
        self.open(&path).await;
        assert_eq!(self.status, StatusCode::OK, "{}", self.html);
        path
    }

    /// Returns the names of the sections of a page, in order.
    pub(in crate::admin) async fn order(&mut self, page: &str) -> Vec<String> {
        self.open(&format!("/admin/pages/{page}")).await;
        let rows = self.html.split("class=\"section-name\"").skip(1);
        rows.map(|row| row.split("<b>").nth(1).unwrap().split("</b>").next().unwrap().to_owned()).collect()
    }

    /// Returns what the page says about the action before it.
    pub(in crate::admin) fn note(&self) -> String {
        let note = self.html.split("class=\"page-note\"").nth(1).unwrap_or_default();
        unescape(note.split("<p>").nth(1).unwrap_or_default().split("</p>").next().unwrap_or_default())
    }

    /// Presses the button that takes the last action back.
    pub(in crate::admin) async fn undo(&mut self) -> &mut Self {
        let note = self.html.split("class=\"page-note\"").nth(1).unwrap_or_else(|| panic!("no note: {}", self.html));
        let form = note.split("<form ").nth(1).unwrap().split("</form>").next().unwrap().to_owned();
        let action = attribute(form.split('>').next().unwrap(), "action").unwrap();
        let inputs = form.split("<input ").skip(1).map(|input| input.split('>').next().unwrap());
        let fields = inputs.map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap())).collect();
        self.post(&action, &fields).await
    }
}

/// Returns an attribute of a tag.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = format!(" {tag}");
    let rest = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(unescape(rest.split('"').next()?))
}

pub(in crate::admin) fn unescape(text: &str) -> String {
    let named = [("&#34;", "\""), ("&#38;", "&"), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">")];
    named.iter().fold(text.to_owned(), |text, (name, c)| text.replace(name, c))
}

fn encode(fields: &BTreeMap<String, String>) -> String {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(fields).finish()
}
