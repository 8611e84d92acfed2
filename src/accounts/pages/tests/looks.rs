//! What every page has in common, in both languages.
use axum::http::{Method, StatusCode, header};

use super::PASSWORD;
use super::browser::{Browser, encode};
use crate::locale::Locale;
use crate::testing::node;

/// The pages that a guest can open.
const GUEST: [&str; 4] = ["/signin", "/signup", "/reset", "/verify-email/token"];
/// The pages of the owner of an account.
const OWNER: [&str; 6] =
    ["/account", "/account/name", "/account/email", "/account/password", "/account/pin", "/account/totp/remove"];

/// Returns `true` if a text has a Korean letter.
fn is_korean(text: &str) -> bool {
    text.chars().any(|c| ('가'..='힣').contains(&c))
}

fn check(page: &Browser<'_>, language: &str) {
    let (path, html) = (&page.path, &page.html);
    assert!(html.contains(&format!("<html lang=\"{language}\"")), "{path}");
    assert_eq!(html.matches("<h1").count(), 1, "{path} has one heading");
    assert_eq!(html.matches("<main").count(), 1, "{path}");
    assert!(html.contains("<meta name=\"robots\" content=\"noindex\">"), "{path}");
    let text = |name: header::HeaderName| page.headers[name].to_str().unwrap().to_owned();
    assert_eq!(text(header::CACHE_CONTROL), "no-store", "{path}");
    assert_eq!(text(header::CONTENT_LANGUAGE), language, "{path}");
    assert!(!page.headers.contains_key(header::CONTENT_ENCODING), "{path} has secrets beside text that people choose");
    let policy = text(header::CONTENT_SECURITY_POLICY);
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    for inline in ["<style", " style=", " onclick", " onsubmit", "javascript:", "<script>"] {
        assert!(!html.contains(inline), "{path} has {inline}");
    }
    // Nothing of the other language, except its own name.
    let rest = html.replace("한국어", "");
    if language == "en" {
        assert!(!is_korean(&rest), "{path}: {rest}");
    } else {
        assert!(is_korean(&rest), "{path}");
    }
    // Every label has its control, and every description its element.
    for (start, end) in [("<label for=\"", "\""), ("aria-describedby=\"", "\""), ("aria-labelledby=\"", "\"")] {
        for ids in html.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()) {
            for id in ids.split(' ') {
                assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{path}: {start}{id}");
            }
        }
    }
    // Every form has a token, and sends its secrets in a body.
    for form in html.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap()) {
        assert!(form.starts_with("method=\"post\""), "{path}");
        assert!(form.contains("name=\"token\" value=\"") || form.contains("action=\"/language\""), "{path}: {form}");
    }
}

#[tokio::test]
async fn every_page_is_whole_in_both_languages() {
    let node = node().await;
    for locale in Locale::ALL {
        let language = locale.tag();
        let mut one = Browser::new(&node, language);
        for path in GUEST {
            one.open(path).await;
            assert_eq!((one.status, one.path.as_str()), (StatusCode::OK, path));
            assert!(one.html.contains("href=\"/chat\""), "{path}: the way without an account is always there");
            check(&one, language);
        }
        one.open("/signin").await.submit("/signin", &[("handle", "")]).await;
        check(&one, language);
        assert!(one.html.contains("role=\"alert\" tabindex=\"-1\" autofocus"), "the summary takes the focus");
        one.submit("/signin", &[("handle", "nobody")]).await;
        check(&one, language);
        one.submit("/signin/password", &[("password", "")]).await;
        check(&one, language);
        one.open("/signup").await.submit("/signup", &[("handle", ""), ("password", "")]).await;
        assert_eq!(one.problems().len(), 2, "every field that is empty is named");
        check(&one, language);
        one.sign_up(&format!("hana-{language}")).await;
        for path in OWNER {
            one.open(path).await;
            assert_eq!(one.status, StatusCode::OK, "{path}");
            check(&one, language);
        }
        one.open("/account/password").await;
        one.submit("/account/password", &[("current", "wrong horse battery"), ("password", PASSWORD)]).await;
        check(&one, language);
        one.open("/account").await.submit("/account/totp", &[]).await;
        check(&one, language);
    }
}

#[tokio::test]
async fn the_language_is_chosen_without_javascript_and_stays() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.open("/signin?next=/account/name").await;
    assert_eq!(one.heading(), "다시 만나서 반가워요");
    let mut fields = one.fields("/language");
    assert_eq!(fields["back"], "/signin?next=/account/name");
    fields.insert("locale".to_owned(), "en".to_owned());
    let answer = one.send(Method::POST, "/language", Some(encode(&fields))).await;
    assert_eq!(answer.headers[header::LOCATION], "/signin?next=/account/name");
    assert_eq!(one.open("/signin").await.heading(), "Good to see you again");
}

#[tokio::test]
async fn the_landing_page_links_the_account_and_stays_the_same_for_everybody() {
    let node = node().await;
    let mut one = Browser::new(&node, "ko");
    one.sign_up("hana").await;
    let mut guest = Browser::new(&node, "ko");
    let (own, other) = (one.send(Method::GET, "/ko", None).await, guest.send(Method::GET, "/ko", None).await);
    assert_eq!(own.bytes, other.bytes);
    assert!(node.get("/ko").await.text.contains(r#"<a href="/account">로그인</a>"#));
    let robots = node.get("/robots.txt").await.text;
    for path in ["/account", "/signin", "/signup", "/reset", "/verify-email", "/admin"] {
        assert!(robots.contains(&format!("Disallow: {path}\n")), "{path}");
    }
}
