//! Visitors and public rooms for the load, made over HTTP.
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::http::{Client, Response};
use super::{Bench, Server};
use crate::Result;

/// How many requests are made at once.
const AT_ONCE: usize = 64;

/// A file of visitors and rooms, as the programs of `sim` read it.
pub struct People {
    /// The origin in the first line, then `V <cookie>` and `R <room id>`.
    pub file: PathBuf,
}

impl People {
    /// Makes visitors who have accepted the rules, and rooms.
    pub fn make(bench: &Bench, server: &Server, visitors: usize, rooms: usize) -> Result<Self> {
        let cookies = many(visitors, server.port, |client, _| visitor(client, &server.base))?;
        let ids =
            many(rooms, server.port, |client, nth| room(client, &server.base, &cookies[nth % cookies.len()], nth))?;
        let lines = [server.base.clone()].into_iter();
        let lines = lines.chain(cookies.iter().map(|cookie| format!("V {cookie}")));
        let lines: Vec<String> = lines.chain(ids.iter().map(|id| format!("R {id}"))).collect();
        let file = bench.work.path().join(format!("people-{visitors}-{rooms}.txt"));
        fs::write(&file, lines.join("\n") + "\n").map_err(|why| format!("{}: {why}", file.display()))?;
        Ok(Self { file })
    }
}

/// Calls `make` for 0 to `count`, some at a time, and returns what it made in order.
fn many(count: usize, port: u16, make: impl Fn(&mut Client, usize) -> Result<String> + Sync) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, String)>> {
        let mut client = Client::connect(port).map_err(|why| why.to_string())?;
        let mut made = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= count {
                return Ok(made);
            }
            made.push((nth, make(&mut client, nth)?));
        }
    };
    let mut made = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..AT_ONCE.min(count)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            made.extend(worker.join().map_err(|_| "a thread panicked".to_owned())??);
        }
        Ok(())
    })?;
    made.sort_unstable();
    Ok(made.into_iter().map(|(_, one)| one).collect())
}

fn call(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Response> {
    let answer = client.request(method, path, headers, body).map_err(|why| format!("{method} {path}: {why}"))?;
    if answer.is_ok() {
        return Ok(answer);
    }
    Err(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)))
}

fn parse(answer: &Response) -> Result<Value> {
    serde_json::from_slice(&answer.body).map_err(|why| format!("an answer is not JSON: {why}"))
}

/// Makes a visitor and returns the cookie.
fn visitor(client: &mut Client, base: &str) -> Result<String> {
    let answer = call(client, "GET", "/api/v1/me", &[("origin", base)], "")?;
    let cookies: Vec<&str> = answer.all("set-cookie").filter_map(|line| line.split(';').next()).collect();
    let cookie = cookies.join("; ");
    let accept = json!({"rules": parse(&answer)?["rules"]["current"], "adult": true}).to_string();
    let headers = [("origin", base), ("cookie", &cookie), ("content-type", "application/json")];
    call(client, "PATCH", "/api/v1/me", &headers, &accept)?;
    Ok(cookie)
}

/// Makes a public room and returns its id.
fn room(client: &mut Client, base: &str, cookie: &str, nth: usize) -> Result<String> {
    let room = json!({"title": format!("load {nth}"), "kind": "public", "naming": "anonymous", "history": true});
    let headers = [("origin", base), ("cookie", cookie), ("content-type", "application/json")];
    let answer = call(client, "POST", "/api/v1/rooms", &headers, &room.to_string())?;
    parse(&answer)?["id"].as_str().map(str::to_owned).ok_or_else(|| "a room without an id".to_owned())
}
