//! The workload: clients that write and listen in public rooms, and clients that seek a partner.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, ClientKind, Lost};
use crate::context::{Context, Phase, Visitor};
use crate::http;

/// How long a turn of a talking client can take.
const MAX_TURN: Duration = Duration::from_millis(300);

/// Makes a visitor who has accepted the rules.
pub async fn visitor(shared: &Context, who: usize) -> Visitor {
    visitor_at(shared, who, who % 2).await.expect("a visitor")
}

/// Makes a visitor on a node. `None` if the node does not answer as it should.
pub async fn visitor_at(shared: &Context, who: usize, node: usize) -> Option<Visitor> {
    let cluster = &shared.cluster;
    let made = http::ask(cluster.endpoint(node, ""), "GET", "/api/v1/me", None).await?;
    let (cookie, id) = (made.cookie?, made.json["visitor"]["id"].as_str()?.to_owned());
    let accept = json!({"rules": made.json["rules"]["current"], "adult": true});
    let accepted = http::ask(cluster.endpoint(node, &cookie), "PATCH", "/api/v1/me", Some(&accept)).await?;
    let visitor = (accepted.status == 200).then_some(Visitor { who, cookie, id })?;
    shared.people.lock().insert(who, visitor.clone());
    Some(visitor)
}

/// Makes two visitors on `nodes` and lets them be matched; nobody else speaks their language.
/// `None` if they were not matched within `within`.
pub async fn pair(shared: &Arc<Context>, nodes: [usize; 2], language: &str, within: Duration) -> Option<Pair> {
    let frame = json!({"type": "seek", "interests": [], "languages": [language], "translate": false});
    let mut clients = Vec::new();
    for node in nodes {
        let visitor = visitor_at(shared, shared.stranger(), node).await?;
        let mut client = Client::new(shared.clone(), visitor, Vec::new());
        (client.pinned, client.kind) = (Some(node), ClientKind::Patient);
        client.open().await.ok()?;
        clients.push(client);
    }
    let mut pair = Pair { two: clients.pop()?, one: clients.pop()?, session: String::new(), room: String::new() };
    let until = Instant::now() + within;
    let matched = async {
        for client in [&mut pair.one, &mut pair.two] {
            client.ask(frame.clone()).await.ok()?["ok"].as_object()?;
        }
        for client in [&mut pair.one, &mut pair.two] {
            let found = loop {
                if let Some(at) = client.events.iter().position(|event| event["type"] == "found") {
                    break client.events.remove(at)?;
                }
                if Instant::now() > until {
                    return None;
                }
                client.listen(Duration::from_millis(20)).await.ok()?;
            };
            pair.session = found["session"].as_str()?.to_owned();
            pair.room = found["room"].as_str()?.to_owned();
            let room = pair.room.clone();
            client.join(&room).await.ok()?["ok"].as_object()?;
        }
        Some(())
    };
    if matched.await.is_some() {
        return Some(pair);
    }
    pair.end().await;
    None
}

/// Two visitors in a talk.
pub struct Pair {
    pub one: Client,
    pub two: Client,
    pub session: String,
    pub room: String,
}

impl Pair {
    /// Stops both, so that nobody waits for them at the end.
    pub async fn end(&mut self) {
        retire(&mut self.one).await;
        retire(&mut self.two).await;
    }
}

/// Leaves and cancels, several times if necessary, so that nobody waits for this client at the end.
pub async fn retire(client: &mut Client) {
    let mut state = SeekerState::default();
    for _ in 0..20 {
        if stop(client, &mut state).await.is_ok_and(|gone| gone) {
            break;
        }
    }
}

/// Makes a public room and returns its id.
pub async fn room(shared: &Context, owner: &Visitor, number: usize) -> String {
    let body = json!({"title": format!("chaos {number}"), "kind": "public", "naming": "anonymous", "history": true});
    let made = http::ask(shared.cluster.endpoint(0, &owner.cookie), "POST", "/api/v1/rooms", Some(&body))
        .await
        .expect("a room");
    made.json["id"].as_str().unwrap_or_else(|| panic!("{}", made.json)).to_owned()
}

/// Listens in all its rooms and, if `pace` is given in milliseconds, writes to them in turn.
pub async fn talk(mut client: Client, rooms: Vec<String>, pace: Option<u64>) {
    let (who, shared) = (client.visitor.who, client.shared.clone());
    let (mut sent, mut due) = (0_usize, Instant::now());
    while shared.phase() < Phase::Over {
        if !client.is_up() && client.open().await.is_err() {
            continue;
        }
        if talk_turn(&mut client, &rooms, pace, &mut sent, &mut due).await.is_err() {
            client.drop_socket();
        }
        shared.set_waits(who, client.pending_count() + rooms.len() - client.rooms.len() + usize::from(!client.is_up()));
    }
}

/// Does one turn: joins missing rooms, listens, and writes when it is due. Lost sockets do not
/// delay what is due.
async fn talk_turn(
    client: &mut Client,
    rooms: &[String],
    pace: Option<u64>,
    sent: &mut usize,
    due: &mut Instant,
) -> Result<(), Lost> {
    for room in rooms {
        if !client.rooms.contains(room) {
            client.join(room).await?;
        }
    }
    client.listen(due.saturating_duration_since(Instant::now()).min(MAX_TURN)).await?;
    if Instant::now() < *due {
        return Ok(());
    }
    let pace_now = pace.unwrap_or(300);
    *due = Instant::now() + client.rng.millis(pace_now / 2, pace_now * 3 / 2 + 1);
    // A listener sometimes disconnects for longer, so that more is missed than a replay contains.
    if pace.is_none() && client.shared.phase() == Phase::Run && client.rng.chance(1) {
        client.drop_socket();
        // It does not count as quiet while it is away: it must come back and receive everything
        // before the check.
        client.shared.set_waits(client.visitor.who, 1);
        let back = Instant::now() + client.rng.millis(2_000, 12_000);
        while Instant::now() < back && client.shared.phase() == Phase::Run {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        return Ok(());
    }
    // A client whose earlier sends are not answered sends nothing new.
    if pace.is_none()
        || client.shared.phase() > Phase::Run
        || client.pending_count() >= 30
        || client.rooms.len() < rooms.len()
    {
        return Ok(());
    }
    *sent += 1;
    let text = text(client, *sent);
    client.send_text(&rooms[*sent % rooms.len()], text).await?;
    // Sometimes a client disconnects with sends under way.
    if client.kind != ClientKind::Browser && client.rng.chance(1) { Err(Lost) } else { Ok(()) }
}

fn text(client: &mut Client, number: usize) -> String {
    let length = if client.rng.chance(3) { client.rng.range(200, 600) } else { client.rng.range(0, 30) };
    format!("{}/{number} {}", client.visitor.who, "가a ".repeat(length as usize)).trim().to_owned()
}

/// What a seeker knows of its own state.
#[derive(Default)]
pub struct SeekerState {
    /// The session and room of its talk.
    talk: Option<(String, String)>,
    seeking: bool,
    /// A cancel had no answer. A node that hung can carry it out seconds later, after a newer seek.
    unsure: bool,
}

impl SeekerState {
    fn in_talk(&mut self, found: &Value) {
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        self.talk = Some((text("session"), text("room")));
        self.seeking = false;
    }

    /// Opens a socket and adopts the state that `hello` reports.
    async fn open(&mut self, client: &mut Client) -> Result<(), Lost> {
        let ok = client.open().await?;
        client.events.clear();
        let before = self.talk.take();
        self.seeking = !ok["seeking"].is_null();
        if !ok["session"].is_null() {
            self.in_talk(&ok["session"]);
        }
        if let Some((_, room)) = before.filter(|old| self.talk.as_ref() != Some(old)) {
            client.forget_room(&room);
        }
        Ok(())
    }

    /// Handles the events that have arrived.
    fn notice(&mut self, client: &mut Client) {
        while let Some(event) = client.events.pop_front() {
            let session = event["session"].as_str().unwrap_or_default();
            let same = self.talk.as_ref().is_some_and(|talk| talk.0 == session);
            if event["type"] == "found" && !same {
                if let Some((_, room)) = self.talk.take() {
                    client.forget_room(&room);
                }
                self.in_talk(&event);
                client.shared.history.count("found");
            } else if event["type"] == "ended" && same {
                self.over(client);
                self.seeking = !event["seeking"].is_null();
            }
        }
    }

    fn over(&mut self, client: &mut Client) {
        if let Some((_, room)) = self.talk.take() {
            client.forget_room(&room);
        }
    }
}

fn code(answer: &Value) -> Option<&str> {
    answer["error"]["code"].as_str()
}

/// Seeks, talks, moves on, leaves or disconnects. At the end it stays waiting, or stops.
pub async fn seek(shared: Arc<Context>, visitor: Visitor) {
    let who = visitor.who;
    let mut client = Client::new(shared.clone(), visitor, Vec::new());
    let mut state = SeekerState::default();
    shared.set_waits(who, 1);
    while shared.phase() == Phase::Run {
        if !client.is_up() && state.open(&mut client).await.is_err() {
            continue;
        }
        if seek_turn(&mut client, &mut state).await.is_err() {
            client.drop_socket();
        }
    }
    let stays = client.rng.chance(67);
    while shared.phase() < Phase::Over {
        let settled = if stays { stay(&mut client, &mut state).await } else { stop(&mut client, &mut state).await };
        match settled {
            Ok(true) => {
                shared.settled.lock().insert(client.visitor.id.clone(), stays);
                shared.set_waits(who, client.pending_count());
                if !stays {
                    return;
                }
            }
            Ok(false) => shared.set_waits(who, client.pending_count() + 1),
            Err(Lost) => {
                client.drop_socket();
                shared.set_waits(who, client.pending_count() + 1);
            }
        }
    }
}

async fn start_seeking(client: &mut Client, state: &mut SeekerState) -> Result<(), Lost> {
    let interests: &[&str] = [&["film"][..], &["jazz"], &[]][client.rng.range(0, 3) as usize];
    let frame = json!({"type": "seek", "interests": interests, "languages": ["en"], "translate": false});
    let answer = client.ask(frame).await?;
    match code(&answer) {
        None => state.seeking = state.talk.is_none(),
        // Its own `found` is under way or was lost: a new socket says which talk it is.
        Some("already_in_session") => return Err(Lost),
        Some(_) => client.listen(Duration::from_millis(300)).await?,
    }
    state.notice(client);
    Ok(())
}

/// Joins the room of the talk. A talk that has ended meanwhile is forgotten.
async fn enter(client: &mut Client, state: &mut SeekerState) -> Result<(), Lost> {
    let Some((_, room)) = state.talk.clone() else { return Ok(()) };
    if !client.rooms.contains(&room) {
        let answer = client.join(&room).await?;
        match code(&answer) {
            None => {}
            Some("closed" | "not_found") => state.over(client),
            Some(_) => client.listen(Duration::from_millis(300)).await?,
        }
    }
    Ok(())
}

async fn seek_turn(client: &mut Client, state: &mut SeekerState) -> Result<(), Lost> {
    state.notice(client);
    if state.talk.is_none() {
        if !state.seeking {
            start_seeking(client, state).await?;
        }
        let wait = client.rng.millis(200, 2_500);
        client.listen(wait).await?;
        state.notice(client);
        if state.talk.is_none() && client.rng.chance(10) {
            let before = std::mem::replace(&mut state.unsure, true);
            let answer = client.ask(json!({"type": "cancel"})).await?;
            // A cancel that was given up can be carried out when Postgres is back.
            state.unsure = before || code(&answer) == Some("unavailable");
            state.seeking &= code(&answer).is_some();
        }
        return if client.rng.chance(5) { Err(Lost) } else { Ok(()) };
    }
    enter(client, state).await?;
    for number in 0..client.rng.range(0, 6) as usize {
        let wait = client.rng.millis(30, 500);
        client.listen(wait).await?;
        state.notice(client);
        let Some((_, room)) = state.talk.clone().filter(|talk| client.rooms.contains(&talk.1)) else { return Ok(()) };
        let text = text(client, number);
        client.send_text(&room, text).await?;
    }
    let wait = client.rng.millis(50, 1_000);
    client.listen(wait).await?;
    state.notice(client);
    let Some((session, room)) = state.talk.clone() else { return Ok(()) };
    let answer = match client.rng.range(0, 100) {
        0..45 => client.ask(json!({"type": "next", "session": session, "seek": true})).await?,
        45..55 => client.ask(json!({"type": "next", "session": session, "seek": false})).await?,
        55..75 => client.ask(json!({"type": "leave", "room": room})).await?,
        75..88 => return Err(Lost),
        _ => return Ok(()),
    };
    if code(&answer).is_none() {
        state.notice(client);
        if state.talk.as_ref().is_some_and(|talk| talk.0 == session) {
            state.over(client);
            state.seeking = answer["ok"]["ticket"].is_string();
        }
    }
    Ok(())
}

/// Continues to wait or talk. Returns `true` once it has a ticket or is in a talk.
async fn stay(client: &mut Client, state: &mut SeekerState) -> Result<bool, Lost> {
    if std::mem::take(&mut state.unsure) {
        // All faults are healed: requests under way are finished soon, and a new socket reports the
        // result.
        client.drop_socket();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if !client.is_up() {
        state.open(client).await?;
    }
    state.notice(client);
    if state.talk.is_some() {
        enter(client, state).await?;
    } else if !state.seeking {
        start_seeking(client, state).await?;
    }
    client.listen(Duration::from_millis(300)).await?;
    state.notice(client);
    Ok(state.seeking || state.talk.is_some())
}

/// Leaves and cancels. Returns `true` once a new socket reports neither a talk nor a ticket.
pub async fn stop(client: &mut Client, state: &mut SeekerState) -> Result<bool, Lost> {
    state.open(client).await?;
    if let Some((_, room)) = state.talk.clone() {
        let answer = client.ask(json!({"type": "leave", "room": room})).await?;
        if code(&answer).is_none() {
            state.over(client);
        }
        return Ok(false);
    }
    if state.seeking {
        client.ask(json!({"type": "cancel"})).await?;
        return Ok(false);
    }
    client.drop_socket();
    Ok(true)
}
