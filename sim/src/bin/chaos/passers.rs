//! People who come to public rooms and leave them for good, again and again. What they send after a leave that was answered, and
//! before they come again, is not written.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::context::{Context, Guest, Phase};
use crate::line::{Line, Lost};

/// How many there are.
pub const PASSERS: usize = 4;
/// How long a node that hung may yet carry out what it was asked before.
const LATE: Duration = Duration::from_secs(20);

/// Somebody who passes through rooms until nothing new is to be said.
pub async fn pass(shared: Arc<Context>, guest: Guest, rooms: Vec<String>) {
    shared.leavers.lock().expect("no panic").insert(guest.who);
    let mut line = Line::new(shared.clone(), guest, Vec::new());
    // A join without an answer may be carried out after the leave that follows.
    let mut unsure: Option<Instant> = None;
    while shared.phase() == Phase::Run {
        if !line.is_up() && line.open().await.is_err() {
            continue;
        }
        let room = &rooms[line.rng.range(0, rooms.len() as u64) as usize];
        let is_sure = unsure.is_none_or(|at| at.elapsed() > LATE);
        let mut joining = false;
        if turn(&mut line, room, is_sure, &mut joining).await.is_err() {
            if joining {
                unsure = Some(Instant::now());
            }
            line.forget(room);
            line.drop_socket();
        }
    }
}

/// Comes, says something, leaves, and says something more.
async fn turn(line: &mut Line, room: &str, is_sure: bool, joining: &mut bool) -> Result<(), Lost> {
    *joining = true;
    let joined = line.join(room).await?;
    *joining = false;
    if joined.get("ok").is_none() {
        // Refused or given up, and perhaps carried out all the same.
        *joining = true;
        return Err(Lost);
    }
    for number in 0..line.rng.range(0, 3) {
        let text = format!("{} passes {number}", line.guest.who);
        line.post(room, text).await?;
        let wait = line.rng.millis(20, 300);
        line.listen(wait).await?;
    }
    let answer = line.ask(json!({"type": "leave", "room": room})).await?;
    let history = &line.shared.history;
    match answer["error"]["code"].as_str() {
        None => history.count("left"),
        // An earlier try, of unknown outcome, has done it.
        Some("not_found") => history.count("left before"),
        // It may be carried out yet, or never: then this socket still hears the room, and what is on its way now would be heard again by
        // who comes back over it.
        Some(_) => return Err(Lost),
    }
    line.forget(room);
    let (client_id, text) = (line.rng.uuid(), format!("{} has left", line.guest.who));
    let payload = json!({"kind": "text", "text": text});
    line.shared.history.tried(line.guest.who, room, &client_id, &payload);
    let answer = line.ask(json!({"type": "send", "room": room, "client_id": client_id, "payload": payload})).await?;
    judge(line, room, &client_id, &answer, is_sure);
    let wait = line.rng.millis(20, 500);
    line.listen(wait).await
}

/// What was sent after the leave has to be refused.
fn judge(line: &Line, room: &str, client_id: &str, answer: &Value, is_sure: bool) {
    let history = &line.shared.history;
    match (answer["ok"]["seq"].as_i64(), answer["error"]["code"].as_str()) {
        (Some(seq), _) => {
            history.acked(client_id, seq, None);
            if is_sure {
                let who = line.guest.who;
                history.problem("revoked", format!("client {who} left {room}, and what it sent then is {seq} there"));
            }
        }
        (None, Some("unavailable" | "internal" | "rate_limited")) => history.unsure(client_id),
        (None, code) => {
            history.count("refused after leaving");
            history.refused(client_id, code.unwrap_or("no code"));
        }
    }
}
