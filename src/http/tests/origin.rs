//! Tests of cross-site requests: every origin but the site's own is refused.
use axum::body::Body;
use axum::extract::Request;

use super::public_site;
use crate::config::Site;
use crate::http::origin::{BodyKind, Refusal, check};

const JSON: (&str, &str) = ("content-type", "application/json");

fn checked(site: &Site, method: &str, headers: &[(&str, &str)], body: &'static str) -> Result<(), Refusal> {
    let mut request = Request::builder().method(method).uri("/api/v1/me");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    check(&request.body(Body::from(body)).unwrap(), site, BodyKind::Json)
}

#[test]
fn a_write_needs_exactly_our_origin() {
    let site = public_site();
    assert_eq!(checked(&site, "POST", &[("origin", "https://chat.example.org"), JSON], "{}"), Ok(()));
    for foreign in [
        "null",
        "",
        "*",
        "https://evil.example",
        "https://example.org",
        "https://evilchat.example.org",
        "https://chat.example.org.evil.example",
        "https://chat.example.org.",
        "https://chat.example.org:443",
        "https://chat.example.org:8443",
        "http://chat.example.org",
        "HTTPS://chat.example.org",
        "https://Chat.Example.org",
        "https://user@chat.example.org",
        "https://chat.example.org@evil.example",
        "https://chat.example.org/",
        "https://chat.example.org/path",
        "https://chat.example.org?x",
        "https://chat.example.org#x",
        "https://xn--cht-5na.example.org",
        "https://chat.example.org https://evil.example",
        "chat.example.org",
        "//chat.example.org",
        "file://",
    ] {
        for method in ["POST", "PATCH", "PUT", "DELETE", "ODD"] {
            assert_eq!(checked(&site, method, &[("origin", foreign), JSON], "{}"), Err(Refusal::Foreign), "{foreign}");
        }
    }
    let twice = [("origin", "https://chat.example.org"), ("origin", "https://evil.example"), JSON];
    assert_eq!(checked(&site, "POST", &twice, "{}"), Err(Refusal::Foreign));
}

#[test]
fn a_write_is_refused_if_the_browser_states_another_site() {
    let site = public_site();
    let own = ("origin", "https://chat.example.org");
    for (headers, expected) in [
        (vec![own, ("sec-fetch-site", "same-origin")], Ok(())),
        (vec![own, ("sec-fetch-site", "none")], Ok(())),
        (vec![own, ("sec-fetch-site", "same-site")], Err(Refusal::Foreign)),
        (vec![own, ("sec-fetch-site", "cross-site")], Err(Refusal::Foreign)),
        (vec![own, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], Err(Refusal::Foreign)),
        (vec![("sec-fetch-site", "same-origin")], Ok(())),
        (vec![("sec-fetch-site", "none")], Err(Refusal::Foreign)),
        (vec![("sec-fetch-site", "cross-site")], Err(Refusal::Foreign)),
        (vec![("referer", "https://chat.example.org/")], Err(Refusal::Foreign)),
        (vec![], Err(Refusal::Foreign)),
    ] {
        assert_eq!(checked(&site, "DELETE", &headers, ""), expected, "{headers:?}");
    }
}

#[test]
fn reads_pass_from_anywhere() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(checked(&public_site(), method, &[("origin", "https://evil.example")], ""), Ok(()));
    }
}

#[test]
fn a_loopback_site_is_three_origins() {
    let site = Site::parse("http://localhost:8080").unwrap();
    for own in ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"] {
        assert_eq!(checked(&site, "POST", &[("origin", own)], ""), Ok(()), "{own}");
    }
    for foreign in ["http://localhost:8081", "http://localhost", "http://127.0.0.2:8080", "https://localhost:8080"] {
        assert_eq!(checked(&site, "POST", &[("origin", foreign)], ""), Err(Refusal::Foreign), "{foreign}");
    }
}

#[test]
fn a_body_is_plain_json() {
    let site = public_site();
    let own = ("origin", "https://chat.example.org");
    for (kind, expected) in [
        ("application/json", Ok(())),
        ("Application/JSON; charset=utf-8", Ok(())),
        ("text/plain", Err(Refusal::OtherMediaType(BodyKind::Json))),
        ("application/x-www-form-urlencoded", Err(Refusal::OtherMediaType(BodyKind::Json))),
        ("multipart/form-data; boundary=application/json", Err(Refusal::OtherMediaType(BodyKind::Json))),
        ("application/jsonx", Err(Refusal::OtherMediaType(BodyKind::Json))),
        ("", Err(Refusal::OtherMediaType(BodyKind::Json))),
    ] {
        assert_eq!(checked(&site, "POST", &[own, ("content-type", kind)], "{}"), expected, "{kind}");
    }
    assert_eq!(checked(&site, "POST", &[own], "{}"), Err(Refusal::OtherMediaType(BodyKind::Json)));
    assert_eq!(checked(&site, "POST", &[own], ""), Ok(()), "no body needs no type");
    for coding in ["gzip", "br", "identity, gzip"] {
        assert_eq!(checked(&site, "POST", &[own, JSON, ("content-encoding", coding)], "{}"), Err(Refusal::Compressed));
    }
}

#[test]
fn a_page_accepts_forms_of_its_own_site_and_no_other_body() {
    let site = public_site();
    let own = ("origin", "https://chat.example.org");
    let checked = |method: &str, headers: &[(&str, &str)], body: &'static str| {
        let mut request = Request::builder().method(method).uri("/signin");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::from(body)).unwrap(), &site, BodyKind::Form)
    };
    for form in ["application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"] {
        assert_eq!(checked("POST", &[own, ("content-type", form)], "a=1"), Ok(()), "{form}");
        assert_eq!(checked("POST", &[("content-type", form)], "a=1"), Err(Refusal::Foreign), "no origin");
        for site in ["cross-site", "same-site"] {
            let headers = [own, ("sec-fetch-site", site), ("content-type", form)];
            assert_eq!(checked("POST", &headers, "a=1"), Err(Refusal::Foreign), "{site}");
        }
        let evil = [("origin", "https://evil.example"), ("content-type", form)];
        assert_eq!(checked("POST", &evil, "a=1"), Err(Refusal::Foreign));
    }
    for other in ["text/plain", "multipart/form-data; boundary=x", "application/json", ""] {
        let refused = Err(Refusal::OtherMediaType(BodyKind::Form));
        assert_eq!(checked("POST", &[own, ("content-type", other)], "a=1"), refused, "{other}");
    }
    assert_eq!(checked("GET", &[("origin", "https://evil.example")], ""), Ok(()));
}
