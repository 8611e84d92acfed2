//! A browser without JavaScript: it keeps cookies, follows redirects and sends the forms of the page
//! that it shows, with their hidden fields.
use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};

use crate::testing::{Answer, Guest, Node};

/// How many redirects a browser follows in a row.
const MAX_REDIRECTS: usize = 5;

pub(super) struct Browser<'a> {
    pub(super) node: &'a Node,
    pub(super) cookies: BTreeMap<String, String>,
    language: &'static str,
    agent: &'static str,
    /// The page that is shown.
    pub(super) path: String,
    pub(super) status: StatusCode,
    pub(super) html: String,
    pub(super) headers: HeaderMap,
}

impl<'a> Browser<'a> {
    pub(super) fn new(node: &'a Node, language: &'static str) -> Self {
        Self {
            node,
            cookies: BTreeMap::new(),
            language,
            agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
            path: String::new(),
            status: StatusCode::OK,
            html: String::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Another browser, on a phone.
    pub(super) fn on_a_phone(node: &'a Node, language: &'static str) -> Self {
        let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1";
        Self { agent, ..Self::new(node, language) }
    }

    /// The cookies as the API's test support sends them.
    pub(super) fn guest(&self) -> Guest {
        let cookie = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
        Guest { cookie, id: String::new() }
    }

    /// Sends a request and keeps the cookies of the answer.
    pub(super) async fn send(&mut self, method: Method, path: &str, form: Option<String>) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8")
            .header(header::ACCEPT_LANGUAGE, self.language)
            .header(header::ACCEPT_ENCODING, "gzip, deflate, br, zstd")
            .header(header::USER_AGENT, self.agent);
        if !self.cookies.is_empty() {
            request = request.header(header::COOKIE, self.guest().cookie);
        }
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
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    /// Opens a page, and those that it leads to.
    pub(super) async fn open(&mut self, path: &str) -> &mut Self {
        let answer = self.send(Method::GET, path, None).await;
        self.show(path, answer).await
    }

    async fn show(&mut self, path: &str, mut answer: Answer) -> &mut Self {
        self.path = path.to_owned();
        for _ in 0..MAX_REDIRECTS {
            if !answer.status.is_redirection() {
                (self.status, self.headers, self.html) = (answer.status, answer.headers, answer.text);
                return self;
            }
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", self.path);
            self.path = answer.headers[header::LOCATION].to_str().unwrap().to_owned();
            assert!(self.path.starts_with('/') && !self.path.starts_with("//"), "{}", self.path);
            let next = self.path.clone();
            answer = self.send(Method::GET, &next, None).await;
        }
        panic!("{} redirects for ever", self.path);
    }

    /// Returns the fields of the page's form with an action, as the browser would send them.
    pub(super) fn fields(&self, action: &str) -> BTreeMap<String, String> {
        let start = format!("<form method=\"post\" action=\"{action}\"");
        let form = self.html.split(&start).nth(1);
        let form = form.unwrap_or_else(|| panic!("{} has no form {action}:\n{}", self.path, self.html));
        let form = form.split("</form>").next().unwrap();
        let inputs = form.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap());
        inputs.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))).collect()
    }

    /// Fills the form with an action and sends it.
    pub(super) async fn submit(&mut self, action: &str, filled: &[(&str, &str)]) -> &mut Self {
        let mut fields = self.fields(action);
        for (name, value) in filled {
            assert!(fields.insert((*name).to_owned(), (*value).to_owned()).is_some(), "{action} has no field {name}");
        }
        self.post(action, &fields).await
    }

    /// Sends fields to an address, whatever the page shows.
    pub(super) async fn post(&mut self, action: &str, fields: &BTreeMap<String, String>) -> &mut Self {
        let answer = self.send(Method::POST, action, Some(encode(fields))).await;
        self.show(action, answer).await
    }

    /// Returns the text of the page's heading.
    pub(super) fn heading(&self) -> String {
        let heading = self.html.split("<h1").nth(1).unwrap_or_else(|| panic!("{} has no heading", self.path));
        let heading = heading.split_once('>').unwrap().1.split("</h1>").next().unwrap();
        unescape(heading.trim())
    }

    /// Returns the items of the summary of what is wrong. Empty if nothing is.
    pub(super) fn problems(&self) -> Vec<String> {
        let Some(summary) = self.html.split("class=\"summary\"").nth(1) else { return Vec::new() };
        let list = summary.split("</ul>").next().unwrap();
        list.split("<li>").skip(1).map(|item| text_of(item.split("</li>").next().unwrap())).collect()
    }

    /// Returns what the page says about the action before it. Empty if it says nothing.
    pub(super) fn note(&self) -> String {
        let note = self.html.split("class=\"page-note\"").nth(1).map(|rest| rest.split("</p>").next().unwrap());
        note.map(|note| text_of(note.split_once('>').unwrap().1)).unwrap_or_default()
    }

    /// Returns the handle that the browser is signed in with. `None` for a guest.
    pub(super) async fn signed_in(&self) -> Option<String> {
        let answer = self.node.ask(Some(&self.guest()), Method::GET, "/api/v1/account", None).await;
        match answer.status {
            StatusCode::OK => Some(answer.json()["account"]["handle"].as_str().unwrap().to_owned()),
            StatusCode::UNAUTHORIZED => None,
            other => panic!("{other}: {}", answer.text),
        }
    }

    /// Signs up with a handle and [`super::PASSWORD`].
    pub(super) async fn sign_up(&mut self, handle: &str) -> &mut Self {
        self.open("/signup").await;
        self.submit("/signup", &[("handle", handle), ("password", super::PASSWORD)]).await;
        assert_eq!(self.path, "/account", "{:?}", self.problems());
        self
    }

    /// Signs out by the button of the header.
    pub(super) async fn sign_out(&mut self) -> &mut Self {
        self.submit("/sign-out", &[]).await
    }

    /// Enters a handle and a password on the pages of sign-in.
    pub(super) async fn sign_in(&mut self, start: &str, handle: &str, password: &str) -> &mut Self {
        self.open(start).await;
        self.submit("/signin", &[("handle", handle)]).await;
        if self.path == "/signin/talk" {
            return self;
        }
        assert_eq!(self.path, "/signin/password");
        self.submit("/signin/password", &[("password", password)]).await
    }
}

/// Returns an attribute of a tag.
pub(super) fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = format!("{name}=\"");
    let tag = format!(" {tag}");
    let at = tag.find(&format!(" {start}"))? + start.len() + 1;
    Some(unescape(tag[at..].split('"').next()?))
}

/// Returns the text of markup, without its tags.
pub(super) fn text_of(markup: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in markup.chars() {
        match c {
            '<' => in_tag = true,
            '>' => in_tag = false,
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    unescape(text.trim())
}

fn unescape(text: &str) -> String {
    let named = [("&#34;", "\""), ("&#38;", "&"), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">")];
    named.iter().fold(text.to_owned(), |text, (name, c)| text.replace(name, c))
}

/// Encodes fields as a form does.
pub(super) fn encode(fields: &BTreeMap<String, String>) -> String {
    let mut encoded = url::form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(fields).finish()
}
