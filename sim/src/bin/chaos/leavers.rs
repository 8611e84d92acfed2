//! Leavers: visitors who join public rooms and leave them, again and again. What they send between
//! the answer to a leave and the next join must not be written.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Lost};
use crate::context::{Context, Phase, Visitor};

/// The number of leavers.
pub const LEAVERS: usize = 4;
/// How long after a request a node that hung can still carry it out.
const LATE_EFFECT_TIME: Duration = Duration::from_secs(20);

/// Joins and leaves rooms until the run is over.
pub async fn run(shared: Arc<Context>, visitor: Visitor, rooms: Vec<String>) {
    shared.leavers.lock().insert(visitor.who);
    let mut client = Client::new(shared.clone(), visitor, Vec::new());
    // When a join had no answer. The node can carry it out after the leave that follows.
    let mut unsure: Option<Instant> = None;
    while shared.phase() == Phase::Run {
        if !client.is_up() && client.open().await.is_err() {
            continue;
        }
        let room = &rooms[client.rng.range(0, rooms.len() as u64) as usize];
        let is_sure = unsure.is_none_or(|at| at.elapsed() > LATE_EFFECT_TIME);
        let mut joining = false;
        if turn(&mut client, room, is_sure, &mut joining).await.is_err() {
            if joining {
                unsure = Some(Instant::now());
            }
            client.forget_room(room);
            client.drop_socket();
        }
    }
}

/// Joins, sends, leaves, and sends once more. `joining` is `true` if it ends while the outcome of
/// the join is unknown.
async fn turn(client: &mut Client, room: &str, is_sure: bool, joining: &mut bool) -> Result<(), Lost> {
    *joining = true;
    let joined = client.join(room).await?;
    *joining = false;
    if joined.get("ok").is_none() {
        // The join was refused or was not answered in time. The node can still carry it out.
        *joining = true;
        return Err(Lost);
    }
    for number in 0..client.rng.range(0, 3) {
        let text = format!("{} passes {number}", client.visitor.who);
        client.send_text(room, text).await?;
        let wait = client.rng.millis(20, 300);
        client.listen(wait).await?;
    }
    let answer = client.ask(json!({"type": "leave", "room": room})).await?;
    let history = &client.shared.history;
    match answer["error"]["code"].as_str() {
        None => history.count("left"),
        // An earlier leave, whose outcome was unknown, has taken effect.
        Some("not_found") => history.count("left before"),
        // The node can carry out the leave later, or never. Until then this socket is subscribed to
        // the room. After the next join on it, entries that are on their way now would come twice.
        Some(_) => return Err(Lost),
    }
    client.forget_room(room);
    let (client_id, text) = (client.rng.uuid(), format!("{} has left", client.visitor.who));
    let payload = json!({"kind": "text", "text": text});
    client.shared.history.record_try(client.visitor.who, room, &client_id, &payload);
    let answer = client.ask(json!({"type": "send", "room": room, "client_id": client_id, "payload": payload})).await?;
    judge(client, room, &client_id, &answer, is_sure);
    let wait = client.rng.millis(20, 500);
    client.listen(wait).await
}

/// Records a problem if the send after the leave was acknowledged. `is_sure` is `false` if an
/// earlier join of unknown outcome can be the reason.
fn judge(client: &Client, room: &str, client_id: &str, answer: &Value, is_sure: bool) {
    let history = &client.shared.history;
    match (answer["ok"]["seq"].as_i64(), answer["error"]["code"].as_str()) {
        (Some(seq), _) => {
            history.acked(client_id, seq, None);
            if is_sure {
                let who = client.visitor.who;
                history.problem("revoked", format!("client {who} left {room}, and what it sent then is {seq} there"));
            }
        }
        (None, Some("unavailable" | "internal" | "rate_limited")) => history.unknown_outcome(client_id),
        (None, code) => {
            history.count("refused after leaving");
            history.refused(client_id, code.unwrap_or("no code"));
        }
    }
}
