//! The exporter: shows the metrics of a node to Prometheus, on a listener of its own
//! (`--metrics-listen`). `docs/operations/METRICS.md` lists them.
mod process;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::App;
use crate::metrics::FrameType;
use crate::{http, matching, ready, rooms};
use text::{Kind, MEDIA_TYPE, Text};

/// How long a connection of the pool is waited for, to show how long that takes now.
const POOL_PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Starts to answer on a listener: `/metrics` only.
pub fn serve(app: &App, listener: TcpListener) {
    let router = Router::new().route("/metrics", get(answer)).with_state(app.clone());
    http::serve(app, listener, router);
}

async fn answer(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], render(&app).await).into_response()
}

/// Returns the metrics of a node as text.
pub async fn render(app: &App) -> String {
    let mut text = Text::default();
    node(app, &mut text);
    requests(app, &mut text);
    sockets(app, &mut text);
    writers(app, &mut text);
    matcher(app, &mut text);
    relay(app, &mut text);
    pool(app, &mut text).await;
    let known = tokio::task::spawn_blocking(process::read).await.ok().flatten();
    process(known.unwrap_or_default(), &mut text);
    text.finish()
}

fn node(app: &App, text: &mut Text) {
    text.family("maju_build_info", Kind::Gauge, "Always 1; the label is the version that runs.");
    text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let is_ready = f64::from(u8::from(ready::reasons(app).is_empty()));
    text.single("maju_ready", Kind::Gauge, "1 if the node accepts work, as /readyz answers.", is_ready);
    text.single("maju_tasks_running", Kind::Gauge, "Tasks that run now.", app.tasks.running() as f64);
    text.family("maju_task_restarts_total", Kind::Counter, "Restarts of essential tasks that had ended or panicked.");
    for (task, restarts) in app.tasks.restarts() {
        text.sample(&[("task", task)], restarts as f64);
    }
}

fn requests(app: &App, text: &mut Text) {
    let routes = app.metrics.http.routes();
    text.family("maju_http_requests_total", Kind::Counter, "Requests that were answered, by the pattern of the route.");
    for (route, counts) in &routes {
        for (method, status, count) in counts.counts() {
            text.sample(&[("route", route), ("method", method), ("status", status)], count as f64);
        }
    }
    text.family("maju_http_request_duration_seconds", Kind::Histogram, "Time from the request to its response.");
    for (route, counts) in &routes {
        text.histogram(&[("route", route)], &counts.duration);
    }
}

fn sockets(app: &App, text: &mut Text) {
    let sockets = &app.metrics.sockets;
    text.single("maju_sockets_open", Kind::Gauge, "WebSockets that are open.", sockets.open.get() as f64);
    text.single(
        "maju_sockets_opened_total",
        Kind::Counter,
        "WebSockets that were opened.",
        sockets.opened.get() as f64,
    );
    let (visitors, rooms) = app.hub.topics();
    text.single("maju_visitors_online", Kind::Gauge, "Visitors with a socket on this node.", visitors as f64);
    text.single("maju_rooms_subscribed", Kind::Gauge, "Rooms with a socket on this node.", rooms as f64);
    text.family("maju_socket_frames_total", Kind::Counter, "Frames of clients, by what became of them.");
    for kind in FrameType::ALL {
        let frames = sockets.frames(kind);
        text.sample(&[("type", kind.name()), ("outcome", "ok")], frames.ok.get() as f64);
        text.sample(&[("type", kind.name()), ("outcome", "refused")], frames.refused.get() as f64);
    }
    let help = "Time from a frame to its answer; of sends, to the commit.";
    text.family("maju_socket_frame_duration_seconds", Kind::Histogram, help);
    for kind in FrameType::ALL {
        text.histogram(&[("type", kind.name())], &sockets.frames(kind).duration);
    }
}

fn writers(app: &App, text: &mut Text) {
    let writer = &app.metrics.writer;
    text.single(
        "maju_entries_written_total",
        Kind::Counter,
        "Entries that were committed.",
        writer.written.get() as f64,
    );
    text.family("maju_writer_batch_entries", Kind::Histogram, "Entries of one transaction.");
    text.histogram(&[], &writer.batch_entries);
    text.family("maju_writer_commit_duration_seconds", Kind::Histogram, "Time that a transaction of entries took.");
    text.histogram(&[], &writer.commit);
    let failed = writer.failed.get() as f64;
    text.single("maju_writer_failures_total", Kind::Counter, "Transactions of entries that failed.", failed);
    text.family("maju_writer_queue_length", Kind::Gauge, "Entries that wait for a writer shard.");
    for (shard, length) in rooms::queue_lengths(app).into_iter().enumerate() {
        text.sample(&[("shard", &shard.to_string())], length as f64);
    }
    let capacity = rooms::queue_capacity() as f64;
    text.single("maju_writer_queue_capacity", Kind::Gauge, "Entries that can wait for one writer shard.", capacity);
}

fn matcher(app: &App, text: &mut Text) {
    let matcher = &app.metrics.matcher;
    let leads = f64::from(u8::from(matching::leads(app)));
    text.single("maju_matcher_leader", Kind::Gauge, "1 on the node whose matcher pairs.", leads);
    text.single("maju_matcher_rounds_total", Kind::Counter, "Rounds of the matcher.", matcher.rounds.get() as f64);
    text.single("maju_matcher_pairs_total", Kind::Counter, "Pairs that were committed.", matcher.pairs.get() as f64);
    text.family("maju_matcher_pairing_duration_seconds", Kind::Histogram, "Time to pair in a round, without Postgres.");
    text.histogram(&[], &matcher.pairing);
    text.family("maju_matching_wait_seconds", Kind::Histogram, "Waits of visitors until a partner was found.");
    text.histogram(&[], &matcher.waits);
    let waiting = app.matching.waiting() as f64;
    text.single("maju_matching_waiting", Kind::Gauge, "Visitors that wait on all nodes.", waiting);
}

fn relay(app: &App, text: &mut Text) {
    let relay = app.relay.counts();
    let all = [
        ("maju_relay_published_total", "Publications for other nodes.", &relay.published),
        ("maju_relay_received_total", "Publications of other nodes.", &relay.received),
        ("maju_relay_dropped_total", "Publications that Redis did not take in time.", &relay.dropped),
        ("maju_relay_missed_total", "Interruptions after which everything was read from Postgres.", &relay.missed),
        ("maju_relay_connections_total", "Connections to Redis for subscriptions.", &relay.connections),
    ];
    for (name, help, counter) in all {
        text.single(name, Kind::Counter, help, counter.get() as f64);
    }
}

async fn pool(app: &App, text: &mut Text) {
    let began = Instant::now();
    let acquired = tokio::time::timeout(POOL_PROBE_TIMEOUT, app.db.acquire()).await;
    let is_up = matches!(acquired, Ok(Ok(_)));
    drop(acquired);
    let took = began.elapsed().as_secs_f64();
    let up = f64::from(u8::from(is_up));
    text.single("maju_database_up", Kind::Gauge, "1 if a connection to Postgres could be had.", up);
    text.single("maju_database_pool_wait_seconds", Kind::Gauge, "Time that a connection of the pool took now.", took);
    text.family("maju_database_pool_connections", Kind::Gauge, "Connections of the pool.");
    let (size, idle) = (f64::from(app.db.size()), app.db.num_idle() as f64);
    text.sample(&[("state", "idle")], idle);
    text.sample(&[("state", "used")], (size - idle).max(0.0));
    let most = f64::from(app.db.options().get_max_connections());
    text.single("maju_database_pool_max_connections", Kind::Gauge, "Connections that the pool can have.", most);
}

fn process(process: process::Process, text: &mut Text) {
    let all = [
        ("process_cpu_seconds_total", Kind::Counter, "CPU time of the process.", process.cpu_seconds),
        ("process_resident_memory_bytes", Kind::Gauge, "Memory of the process.", process.resident_bytes),
        ("process_open_fds", Kind::Gauge, "Files and sockets that are open.", process.open_files),
        ("process_max_fds", Kind::Gauge, "Files and sockets that can be open.", process.max_files),
        ("process_threads", Kind::Gauge, "Threads of the process.", process.threads),
        ("process_start_time_seconds", Kind::Gauge, "Start of the process, in Unix time.", process.started_at),
    ];
    for (name, kind, help, value) in all {
        text.single(name, kind, help, value);
    }
}
