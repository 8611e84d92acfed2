//! What a node exports: every metric that the documents name, nothing that would name a person, and
//! numbers that follow what happens.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{render, serve};
use crate::testing::{Node, eventually, node};

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations").join(name);
    fs::read_to_string(path).unwrap()
}

/// Returns the families of an exported text and their types.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split_once(' ').unwrap()).map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// Returns the value of a sample. `None` if the text does not have it.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
}

/// Returns the metrics that an expression names. The samples of a histogram count as its family.
fn named(expression: &str, families: &BTreeMap<String, String>) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c: char| !is_part(c));
    let metrics = words.filter(|word| word.starts_with("maju_") || word.starts_with("process_"));
    let family = |word: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        match base {
            Some(base) if families.get(base).is_some_and(|kind| kind == "histogram") => base.to_owned(),
            _ => word.to_owned(),
        }
    };
    metrics.map(family).collect()
}

#[tokio::test]
async fn the_documents_name_what_a_node_exports() {
    let node = node().await;
    let exported = families(&render(&node.app).await);
    let rows = document("METRICS.md");
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| `")).map(|line| {
        let mut cells = line.split('|').map(str::trim);
        (cells.next().unwrap().trim_end_matches('`').to_owned(), cells.next().unwrap().to_owned())
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), exported, "docs/operations/METRICS.md");

    let dashboard: Value = serde_json::from_str(&document("grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(expressions.len() > 30);
    let alerts = document("alerts.yml");
    let rules = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    for expression in expressions.iter().copied().chain(rules) {
        let named = named(expression, &exported);
        assert!(!named.is_empty() || expression.starts_with("up{"), "{expression} names no metric");
        for metric in named {
            assert!(exported.contains_key(&metric), "no node exports {metric}: {expression}");
        }
    }
    let shown: BTreeSet<String> = expressions.iter().flat_map(|expression| named(expression, &exported)).collect();
    for metric in
        exported.keys().filter(|metric| !["maju_build_info", "process_start_time_seconds"].contains(&metric.as_str()))
    {
        assert!(shown.contains(metric) || alerts.contains(metric.as_str()), "nothing shows {metric}");
    }
    for part in ["summary:", "action:", "expr:", "severity:"] {
        assert_eq!(alerts.matches(part).count(), alerts.matches("- alert:").count(), "{part}");
    }
}

#[tokio::test]
async fn a_talk_is_counted_and_nobody_is_named() {
    let node = node().await;
    let (one, other) = (node.guest("ko").await, node.guest("ko").await);
    let mut talk = node.talk(&one, &other).await;
    talk.a.text(&talk.room, "canary-of-the-message").await;
    talk.b.event("message").await;
    let refused = json!({"type": "read", "room": uuid::Uuid::nil(), "seq": 1});
    talk.a.refused(refused).await;
    talk.a.raw("{\"type\": \"canary-of-a-type\"}").await;
    let page =
        node.ask(Some(&one), Method::GET, &format!("/api/v1/rooms/{}?canary-of-a-query=1", talk.room), None).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(node.get("/canary-of-a-path").await.status, StatusCode::NOT_FOUND);
    let text = eventually_rendered(&node, "maju_socket_frames_total{type=\"unknown\",outcome=\"refused\"}", 1.0).await;
    for (sample, wanted) in [
        ("maju_sockets_open", 2.0),
        ("maju_visitors_online", 2.0),
        ("maju_rooms_subscribed", 1.0),
        ("maju_socket_frames_total{type=\"send\",outcome=\"ok\"}", 1.0),
        ("maju_socket_frames_total{type=\"seek\",outcome=\"ok\"}", 2.0),
        ("maju_socket_frames_total{type=\"read\",outcome=\"refused\"}", 1.0),
        ("maju_socket_frame_duration_seconds_count{type=\"send\"}", 1.0),
        ("maju_entries_written_total", 1.0),
        ("maju_writer_batch_entries_sum", 1.0),
        ("maju_matcher_leader", 1.0),
        ("maju_matcher_pairs_total", 1.0),
        ("maju_matching_wait_seconds_count", 2.0),
        ("maju_http_requests_total{route=\"/api/v1/rooms/{room}\",method=\"GET\",status=\"200\"}", 1.0),
        ("maju_http_requests_total{route=\"(none)\",method=\"GET\",status=\"404\"}", 1.0),
        ("maju_database_up", 1.0),
        ("maju_ready", 1.0),
    ] {
        assert_eq!(value(&text, sample), Some(wanted), "{sample}:\n{text}");
    }
    assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1_000_000.0);
    let cookie = one.cookie.split('=').nth(1).unwrap();
    for secret in ["canary", "127.0.0.1", &one.id, &other.id, &talk.room, &talk.session, cookie] {
        assert!(!text.contains(secret), "the metrics have {secret}");
    }
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM visitor WHERE name IS NOT NULL").fetch_all(&node.app.db).await.unwrap();
    assert!(names.iter().all(|name| !text.contains(name)));
}

async fn eventually_rendered(node: &Node, sample: &str, wanted: f64) -> String {
    eventually(sample, || async { value(&render(&node.app).await, sample) == Some(wanted) }).await;
    render(&node.app).await
}

#[tokio::test]
async fn metrics_are_on_a_listener_of_their_own() {
    let node = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(&node.app, listener);
    let ask = async |path: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: metrics\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = ask("/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("version=0.0.4"), "{answer}");
    assert!(answer.contains("maju_build_info{version="));
    assert!(ask("/").await.starts_with("HTTP/1.1 404"), "nothing else is there");
    assert_eq!(node.get("/metrics").await.status, StatusCode::NOT_FOUND, "and not on the site");
}

#[tokio::test]
async fn a_task_that_panics_counts_as_restarted() {
    let node = node().await;
    let (tasks, sample) = (&node.app.tasks, "maju_task_restarts_total{task=\"test.panics\"}");
    let mut starts = 0;
    tasks.spawn_essential("test.panics", move || {
        starts += 1;
        let first = starts == 1;
        async move {
            assert!(!first, "the test's own panic");
            std::future::pending::<()>().await;
        }
    });
    eventually_rendered(&node, sample, 1.0).await;
}
