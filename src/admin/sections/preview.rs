//! Previews: a page with its drafts, at an address that is signed and expires. Whoever has the
//! address can read it; the editor shows it in frames.
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use time::OffsetDateTime;

use super::group::page_of;
use crate::app::App;
use crate::cms::{self, Page};
use crate::db;
use crate::error::{Error, Result};
use crate::http::assets::{self, Entry};
use crate::http::{Appearance, Theme};
use crate::locale::{Locale, SectionStrings, Strings};

/// The entry of the build whose styles a preview that has ended links.
const ENTRY: &str = "src/landing/main.ts";

/// How long the address of a preview works.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the path of a page's preview, which works for 24 hours.
///
/// # Errors
/// `unavailable`.
pub(super) async fn path(app: &App, page: Page) -> Result<String> {
    let expiry = (app.clock.now() + LIFETIME).unix_timestamp();
    // The same for some minutes, so that frames are not loaded again without need.
    let expiry = expiry - expiry.rem_euclid(600);
    let key = db::secret::shared(&app.db, "preview").await?;
    Ok(format!("/preview/{}", token(&key, page, expiry)))
}

fn token(key: &[u8], page: Page, expiry: i64) -> String {
    let signed = format!("{}.{expiry}", page.name());
    let mac = mac(key, &signed).map(|mac| mac.finalize().into_bytes());
    let hex: String = mac.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    format!("{signed}.{hex}")
}

fn mac(key: &[u8], signed: &str) -> Option<Hmac<Sha256>> {
    // HMAC takes a key of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(signed.as_bytes());
    Some(mac)
}

/// Returns the page of a token. `None` if it was not signed here, or has expired.
fn opened(key: &[u8], token: &str, now: OffsetDateTime) -> Option<Page> {
    let (signed, hex) = token.rsplit_once('.')?;
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()).collect();
    mac(key, signed)?.verify_slice(&bytes?).ok()?;
    let (page, expiry) = signed.split_once('.')?;
    let expiry: i64 = expiry.parse().ok()?;
    (now.unix_timestamp() < expiry).then(|| page_of(page).ok())?
}

#[derive(Deserialize)]
pub(super) struct Look {
    locale: Option<String>,
}

/// The bar above a preview.
#[derive(Template)]
#[template(path = "admin/sections/preview_bar.html")]
struct Bar {
    t: &'static SectionStrings,
    path: String,
    leave: String,
    others: Vec<Locale>,
}

/// A page that says that the preview has ended.
#[derive(Template)]
#[template(path = "admin/sections/preview_ended.html")]
struct Ended {
    appearance: Appearance,
    strings: &'static Strings,
    entry: Option<&'static Entry>,
    t: &'static SectionStrings,
}

/// Shows a page with its drafts.
pub(super) async fn page(
    State(app): State<App>,
    Path(token): Path<String>,
    Query(look): Query<Look>,
    request: HeaderMap,
) -> Result<Response> {
    let mut appearance = Appearance::of(&request);
    if let Some(locale) = look.locale.as_deref().and_then(Locale::of_tag) {
        appearance.locale = locale;
    }
    let key = db::secret::shared(&app.db, "preview").await?;
    let t = &appearance.locale.admin().sections;
    let Some(page) = opened(&key, &token, app.clock.now()) else {
        let ended = Ended { appearance, strings: appearance.locale.strings(), entry: assets::entry(ENTRY), t };
        let html = ended.render().map_err(Error::internal)?;
        return Ok(with_headers((StatusCode::GONE, Html(html)).into_response(), appearance.locale));
    };
    let drafts = cms::sections(&app, Some(page), None).await?;
    let html = cms::draft_page(&app, page, appearance, &drafts)?;
    let bar = Bar {
        t,
        path: format!("/preview/{token}"),
        leave: page.path(appearance.locale),
        others: appearance.locale.others().collect(),
    };
    let html = with_bar(&html, &bar.render().map_err(Error::internal)?);
    Ok(with_headers(Html(html).into_response(), appearance.locale))
}

/// Puts the bar at the start of the body.
fn with_bar(html: &str, bar: &str) -> String {
    let body = html.find("<body").and_then(|at| Some(at + html[at..].find('>')? + 1));
    match body {
        Some(at) => format!("{}{bar}{}", &html[..at], &html[at..]),
        None => format!("{bar}{html}"),
    }
}

/// Adds the headers of previews. The layer of these pages keeps them out of caches and search
/// engines.
fn with_headers(mut response: Response, locale: Locale) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(locale.tag()));
    // The address is the key to the draft: no other site sees it.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::{opened, token, with_bar};
    use crate::cms::Page;

    #[test]
    fn a_token_opens_its_page_until_it_expires_and_no_other() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let good = token(b"key", Page::Rules, 100);
        assert_eq!(opened(b"key", &good, now + Duration::seconds(99)), Some(Page::Rules));
        assert_eq!(opened(b"key", &good, now + Duration::seconds(100)), None);
        assert_eq!(opened(b"other", &good, now), None);
        assert_eq!(opened(b"key", &good.replace("rules", "terms"), now), None);
        assert_eq!(opened(b"key", &good.replace(".100.", ".900."), now), None);
        for odd in ["", "rules", "rules.100.", "rules.100.ff", &"é".repeat(40)] {
            assert_eq!(opened(b"key", odd, now), None);
        }
    }

    #[test]
    fn the_bar_is_the_first_thing_in_the_body() {
        assert_eq!(with_bar("<html><body class=\"a\"><p>", "BAR"), "<html><body class=\"a\">BAR<p>");
    }
}
