//! News for open pages, as server-sent events: `stats` with the numbers, `content` with the version
//! of the page. All of it comes from memory: a page that is open costs no query.
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::limits::{LIVE_HEARTBEAT, MAX_LIVE_PAGES};
use super::model::Page;
use super::snapshot::Snapshot;
use crate::app::App;
use crate::error::{Result, problem};
use crate::http::{LongResponse, Query};
use crate::locale::Locale;

/// How long one response lasts. The browser asks again, which also ends those of readers who are
/// gone without a word.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(600);
/// When a browser asks again after the end of a response, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";
/// When a page without a place asks again.
const FULL_RETRY_AFTER_MS: u64 = 15_000;

/// The open pages of a node.
#[derive(Clone, Default)]
pub(super) struct State {
    open: Arc<AtomicUsize>,
}

/// A place of an open page, given back when it is dropped.
pub(super) struct OpenPage(Arc<AtomicUsize>);

impl State {
    /// Takes a place. `None` if there are [`MAX_LIVE_PAGES`].
    pub(super) fn take(&self) -> Option<OpenPage> {
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < MAX_LIVE_PAGES).then_some(open + 1));
        taken.is_ok().then(|| OpenPage(self.open.clone()))
    }

    /// Returns the number of open pages.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveQuery {
    #[serde(default)]
    page: Page,
    #[serde(default)]
    locale: Locale,
}

/// Serves the news of a page until the node drains, the reader leaves, or ten minutes have passed.
pub(super) async fn live(
    Shared(app): Shared<App>,
    Query(LiveQuery { page, locale }): Query<LiveQuery>,
) -> Result<Response> {
    let Some(place) = app.cms.live.take() else {
        let why = "Too many pages are open on this server. The page asks again by itself.".to_owned();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(problem(status, "unavailable", why, None, Some(FULL_RETRY_AFTER_MS)));
    };
    let mut snapshots = app.cms.current.subscribe();
    snapshots.mark_changed();
    let reader = Reader {
        app,
        page,
        locale,
        snapshots,
        last_stats: Bytes::new(),
        last_version: 0,
        ends_at: Instant::now() + LIFETIME,
        is_new: true,
        _place: place,
    };
    let news = stream::unfold(reader, |mut reader| async move {
        let bytes = reader.next().await?;
        Some((Ok::<_, Infallible>(bytes), reader))
    });
    let mut response = Body::from_stream(news).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The connection ends with the response, so that none waits without a time limit.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.extensions_mut().insert(LongResponse);
    Ok(response)
}

/// An open page.
struct Reader {
    app: App,
    page: Page,
    locale: Locale,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What was sent last.
    last_stats: Bytes,
    last_version: u64,
    ends_at: Instant,
    is_new: bool,
    _place: OpenPage,
}

impl Reader {
    /// Waits for news. `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_new) {
            return Some(Bytes::from_static(RETRY.as_bytes()));
        }
        loop {
            let heartbeat = Instant::now() + LIVE_HEARTBEAT;
            tokio::select! {
                () = self.app.tasks.draining.cancelled() => return None,
                () = tokio::time::sleep_until(self.ends_at) => return None,
                () = tokio::time::sleep_until(heartbeat) => return Some(Bytes::from_static(b":\n\n")),
                changed = self.snapshots.changed() => changed.ok()?,
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            if let Some(news) = self.news(&snapshot) {
                return Some(news);
            }
        }
    }

    /// Returns what is new to this reader. `None` if nothing is.
    fn news(&mut self, snapshot: &Snapshot) -> Option<Bytes> {
        let mut news = Vec::new();
        let version = snapshot.page_version(self.page, self.locale);
        if version != self.last_version {
            self.last_version = version;
            news.extend_from_slice(format!("event: content\ndata: {{\"version\":\"{version:016x}\"}}\n\n").as_bytes());
        }
        if self.page == Page::Landing {
            let stats = snapshot.stats_event();
            if stats != self.last_stats {
                news.extend_from_slice(&stats);
                self.last_stats = stats;
            }
        }
        (!news.is_empty()).then(|| news.into())
    }
}
