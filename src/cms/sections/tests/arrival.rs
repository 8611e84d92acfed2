//! A publish arrives: on other nodes, without a relay, on open pages; and pages cost no query.
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Person, add};
use crate::cms::model::Page;
use crate::cms::sections::publish_section;
use crate::locale::Locale;
use crate::testing::{Node, TEST_TIMEOUT, eventually, node};

#[tokio::test]
async fn a_publish_reaches_a_node_that_the_relay_does_not() {
    let node = node().await;
    let apart = Node::apart(&node).await;
    let by = Person::new(&node, "jin").await;
    let mut quickest = Duration::MAX;
    for nth in 0..5 {
        let title = format!("arrived {nth}");
        let draft = add(&node, &by, Page::Rules, Locale::Ko, &title).await;
        assert!(!apart.get("/ko/rules").await.text.contains(&title));
        publish_section(&node.app, by.editor(), draft.id, 1, None, None).await.unwrap();
        let published = Instant::now();
        eventually("the other node shows it", async || apart.get("/ko/rules").await.text.contains(&title)).await;
        quickest = quickest.min(published.elapsed());
    }
    assert!(quickest < Duration::from_secs(1), "the quickest of five took {quickest:?}");
}

/// An open page, read as a browser reads it.
struct OpenPage {
    stream: TcpStream,
    read: String,
}

impl OpenPage {
    async fn open(node: &Node, query: &str) -> Self {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let request = format!("GET /live?{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, read: String::new() }
    }

    /// Reads on until a text came. Returns everything up to its end, and forgets it.
    async fn until(&mut self, text: &str) -> String {
        let waiting = async {
            loop {
                if let Some(at) = self.read.find(text) {
                    return self.read.drain(..at + text.len()).collect();
                }
                let mut bytes = [0; 4_096];
                let count = self.stream.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the response ended before {text}: {}", self.read);
                self.read.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("no {text}"))
    }
}

#[tokio::test]
async fn an_open_page_is_told_of_its_own_changes_and_ends_when_the_node_drains() {
    let node = node().await;
    let by = Person::new(&node, "jin").await;
    eventually("the sections are read", async || node.app.cms.current().contents().version > 0).await;
    let mut page = OpenPage::open(&node, "page=landing&locale=en").await;
    let head = page.until("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store") && head.contains("connection: close"), "{head}");
    let version = |event: &str| event.split("\"version\":\"").nth(1).map(|rest| rest[..16].to_owned());
    let news = page.until("event: stats").await;
    let shown = version(&news).unwrap();
    assert!(node.get("/en").await.text.contains(&format!("data-version=\"{shown}\"")), "{news}");

    // Another page is published: this one hears nothing of it. Then its own.
    let other = add(&node, &by, Page::Terms, Locale::En, "elsewhere").await;
    publish_section(&node.app, by.editor(), other.id, 1, None, None).await.unwrap();
    let own = add(&node, &by, Page::Landing, Locale::En, "news").await;
    publish_section(&node.app, by.editor(), own.id, 1, None, None).await.unwrap();
    let news = page.until("event: content").await + &page.until("\n\n").await;
    assert_ne!(version(&news).unwrap(), shown);
    let html = node.get("/en").await.text;
    assert!(html.contains(">news</h2>") && html.contains(&version(&news).unwrap()));

    assert_eq!(node.app.cms.live.open(), 1);
    node.app.tasks.draining.cancel();
    let mut rest = Vec::new();
    tokio::time::timeout(TEST_TIMEOUT, page.stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    eventually("its place is free", async || node.app.cms.live.open() == 0).await;
}

#[tokio::test]
async fn pages_and_their_news_cost_no_query() {
    let node = node().await;
    eventually("the sections are read", async || node.app.cms.current().contents().version > 0).await;
    let before = node.get("/ko").await;
    let mut page = OpenPage::open(&node, "page=landing&locale=ko").await;
    page.until("event: content").await;
    // Without a database, everything is answered as before.
    node.app.db.close().await;
    for path in [
        "/ko",
        "/en",
        "/",
        "/ko/rules",
        "/en/privacy",
        "/api/v1/content",
        "/api/v1/stats",
        "/api/v1/banners?place=lobby",
    ] {
        assert_eq!(node.get(path).await.status, 200, "{path}");
    }
    let again = node.get("/ko").await;
    assert_eq!((again.headers["etag"].clone(), again.text.len()), (before.headers["etag"].clone(), before.text.len()));
    let mut second = OpenPage::open(&node, "page=rules&locale=en").await;
    second.until("event: content").await;
    for path in ["/live?page=nowhere", "/live?locale=fr", "/live?x=1"] {
        assert_eq!(node.get(path).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_page_without_a_place_is_told_when_to_ask_again() {
    let node = node().await;
    let taken: Vec<_> = std::iter::from_fn(|| node.app.cms.live.take()).collect();
    assert_eq!(taken.len(), crate::cms::limits::MAX_LIVE_PAGES);
    let refused = node.get("/live").await;
    assert_eq!((refused.status.as_u16(), refused.headers["retry-after"].to_str().unwrap()), (503, "15"));
    drop(taken);
    assert_eq!(node.app.cms.live.open(), 0);
}
