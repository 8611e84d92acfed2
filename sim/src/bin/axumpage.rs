//! A yardstick: an axum handler that returns the bytes of a file, and nothing else.
//!
//! usage: axumpage <address:port> <file>
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use sim::bare;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let page = Bytes::from(std::fs::read(&args[2]).expect("the file can be read"));
    let handler = move || async move { ([(CONTENT_TYPE, "text/html; charset=utf-8")], page) };
    bare::listen(&args[1], Router::new().route("/", get(handler))).await;
}
