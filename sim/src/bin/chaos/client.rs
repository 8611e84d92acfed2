//! The people: those who write and listen in public rooms, and those who seek somebody to talk with.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::context::{Context, Guest, Phase};
use crate::http;
use crate::line::{Line, Lost, Manner};

/// A turn of one who talks takes no longer.
const TURN: Duration = Duration::from_millis(300);

/// A visitor who has accepted the rules.
pub async fn guest(shared: &Context, who: usize) -> Guest {
    guest_at(shared, who, who % 2).await.expect("a visitor")
}

/// The same, made by a node of one's choice. None when it does not answer as it should.
pub async fn guest_at(shared: &Context, who: usize, node: usize) -> Option<Guest> {
    let world = &shared.world;
    let made = http::ask(world.to(node, ""), "GET", "/api/v1/me", None).await?;
    let (cookie, id) = (made.cookie?, made.json["visitor"]["id"].as_str()?.to_owned());
    let accept = json!({"rules": made.json["rules"]["current"], "adult": true});
    let accepted = http::ask(world.to(node, &cookie), "PATCH", "/api/v1/me", Some(&accept)).await?;
    let guest = (accepted.status == 200).then_some(Guest { who, cookie, id })?;
    shared.people.lock().expect("no panic").insert(who, guest.clone());
    Some(guest)
}

/// Two on a node who talk with each other: nobody else speaks their language. `None` when they could not be matched within `within`.
pub async fn couple(shared: &Arc<Context>, nodes: [usize; 2], language: &str, within: Duration) -> Option<Couple> {
    let frame = json!({"type": "seek", "interests": [], "languages": [language], "translate": false});
    let mut lines = Vec::new();
    for node in nodes {
        let guest = guest_at(shared, shared.stranger(), node).await?;
        let mut line = Line::new(shared.clone(), guest, Vec::new());
        (line.pinned, line.manner) = (Some(node), Manner::Patient);
        line.open().await.ok()?;
        lines.push(line);
    }
    let mut couple = Couple { two: lines.pop()?, one: lines.pop()?, session: String::new(), room: String::new() };
    let until = Instant::now() + within;
    let matched = async {
        for line in [&mut couple.one, &mut couple.two] {
            line.ask(frame.clone()).await.ok()?["ok"].as_object()?;
        }
        for line in [&mut couple.one, &mut couple.two] {
            let found = loop {
                if let Some(at) = line.events.iter().position(|event| event["type"] == "found") {
                    break line.events.remove(at)?;
                }
                if Instant::now() > until {
                    return None;
                }
                line.listen(Duration::from_millis(20)).await.ok()?;
            };
            couple.session = found["session"].as_str()?.to_owned();
            couple.room = found["room"].as_str()?.to_owned();
            let room = couple.room.clone();
            line.join(&room).await.ok()?["ok"].as_object()?;
        }
        Some(())
    };
    if matched.await.is_some() {
        return Some(couple);
    }
    couple.end().await;
    None
}

/// Two who talk with each other.
pub struct Couple {
    pub one: Line,
    pub two: Line,
    pub session: String,
    pub room: String,
}

impl Couple {
    /// Both stop for good, so that nobody waits for them at the end.
    pub async fn end(&mut self) {
        retire(&mut self.one).await;
        retire(&mut self.two).await;
    }
}

/// Leaves and cancels, with patience: nobody waits for this one at the end.
pub async fn retire(line: &mut Line) {
    let mut place = Place::default();
    for _ in 0..20 {
        if stop(line, &mut place).await.is_ok_and(|gone| gone) {
            break;
        }
    }
}

/// A public room of a guest's.
pub async fn room(shared: &Context, owner: &Guest, number: usize) -> String {
    let body = json!({"title": format!("chaos {number}"), "kind": "public", "naming": "anonymous", "history": true});
    let made =
        http::ask(shared.world.to(0, &owner.cookie), "POST", "/api/v1/rooms", Some(&body)).await.expect("a room");
    made.json["id"].as_str().unwrap_or_else(|| panic!("{}", made.json)).to_owned()
}

/// Listens in all its rooms and, with a pace in milliseconds, writes to them in turn.
pub async fn talk(mut line: Line, rooms: Vec<String>, pace: Option<u64>) {
    let (who, shared) = (line.guest.who, line.shared.clone());
    let (mut said, mut due) = (0_usize, Instant::now());
    while shared.phase() < Phase::Over {
        if !line.is_up() && line.open().await.is_err() {
            continue;
        }
        if turn_of_talk(&mut line, &rooms, pace, &mut said, &mut due).await.is_err() {
            line.drop_socket();
        }
        shared.set_waits(who, line.waits() + rooms.len() - line.rooms.len() + usize::from(!line.is_up()));
    }
}

/// One turn: joins what is missing, listens, and writes when it is due. Lost sockets do not put off what is due.
async fn turn_of_talk(
    line: &mut Line,
    rooms: &[String],
    pace: Option<u64>,
    said: &mut usize,
    due: &mut Instant,
) -> Result<(), Lost> {
    for room in rooms {
        if !line.rooms.contains(room) {
            line.join(room).await?;
        }
    }
    line.listen(due.saturating_duration_since(Instant::now()).min(TURN)).await?;
    if Instant::now() < *due {
        return Ok(());
    }
    let pace_now = pace.unwrap_or(300);
    *due = Instant::now() + line.rng.millis(pace_now / 2, pace_now * 3 / 2 + 1);
    // A listener goes away for longer, so that more is missed than a replay brings when much is written.
    if pace.is_none() && line.shared.phase() == Phase::Run && line.rng.chance(1) {
        line.drop_socket();
        // Not quiet while it is away: it must come back and see everything before the check.
        line.shared.set_waits(line.guest.who, 1);
        let back = Instant::now() + line.rng.millis(2_000, 12_000);
        while Instant::now() < back && line.shared.phase() == Phase::Run {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        return Ok(());
    }
    // A client that cannot get rid of what it has said says nothing new.
    if pace.is_none() || line.shared.phase() > Phase::Run || line.waits() >= 30 || line.rooms.len() < rooms.len() {
        return Ok(());
    }
    *said += 1;
    let text = text(line, *said);
    line.post(&rooms[*said % rooms.len()], text).await?;
    // Now and then a browser goes away with its sends on their way.
    if line.manner != Manner::Browser && line.rng.chance(1) { Err(Lost) } else { Ok(()) }
}

fn text(line: &mut Line, number: usize) -> String {
    let length = if line.rng.chance(3) { line.rng.range(200, 600) } else { line.rng.range(0, 30) };
    format!("{}/{number} {}", line.guest.who, "가a ".repeat(length as usize)).trim().to_owned()
}

/// Where a seeker is.
#[derive(Default)]
pub struct Place {
    /// The session and room of its talk.
    talk: Option<(String, String)>,
    seeking: bool,
    /// A cancel had no answer. A node that hung may carry it out seconds later, after a newer seek.
    unsure: bool,
}

impl Place {
    fn in_talk(&mut self, found: &Value) {
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        self.talk = Some((text("session"), text("room")));
        self.seeking = false;
    }

    /// Opens a socket and believes what it says.
    async fn open(&mut self, line: &mut Line) -> Result<(), Lost> {
        let ok = line.open().await?;
        line.events.clear();
        let before = self.talk.take();
        self.seeking = !ok["seeking"].is_null();
        if !ok["session"].is_null() {
            self.in_talk(&ok["session"]);
        }
        if let Some((_, room)) = before.filter(|old| self.talk.as_ref() != Some(old)) {
            line.forget(&room);
        }
        Ok(())
    }

    /// Takes up what was said to the visitor.
    fn notice(&mut self, line: &mut Line) {
        while let Some(event) = line.events.pop_front() {
            let session = event["session"].as_str().unwrap_or_default();
            let same = self.talk.as_ref().is_some_and(|talk| talk.0 == session);
            if event["type"] == "found" && !same {
                if let Some((_, room)) = self.talk.take() {
                    line.forget(&room);
                }
                self.in_talk(&event);
                line.shared.history.count("found");
            } else if event["type"] == "ended" && same {
                self.over(line);
                self.seeking = !event["seeking"].is_null();
            }
        }
    }

    fn over(&mut self, line: &mut Line) {
        if let Some((_, room)) = self.talk.take() {
            line.forget(&room);
        }
    }
}

fn code(answer: &Value) -> Option<&str> {
    answer["error"]["code"].as_str()
}

/// Seeks, talks, moves on, leaves or goes away; at the end stays waiting, or stops for good.
pub async fn seek(shared: Arc<Context>, guest: Guest) {
    let who = guest.who;
    let mut line = Line::new(shared.clone(), guest, Vec::new());
    let mut place = Place::default();
    shared.set_waits(who, 1);
    while shared.phase() == Phase::Run {
        if !line.is_up() && place.open(&mut line).await.is_err() {
            continue;
        }
        if turn_of_seek(&mut line, &mut place).await.is_err() {
            line.drop_socket();
        }
    }
    let stays = line.rng.chance(67);
    while shared.phase() < Phase::Over {
        let settled = if stays { stay(&mut line, &mut place).await } else { stop(&mut line, &mut place).await };
        match settled {
            Ok(true) => {
                shared.settled.lock().expect("no panic").insert(line.guest.id.clone(), stays);
                shared.set_waits(who, line.waits());
                if !stays {
                    return;
                }
            }
            Ok(false) => shared.set_waits(who, line.waits() + 1),
            Err(Lost) => {
                line.drop_socket();
                shared.set_waits(who, line.waits() + 1);
            }
        }
    }
}

async fn start_seeking(line: &mut Line, place: &mut Place) -> Result<(), Lost> {
    let interests: &[&str] = [&["film"][..], &["jazz"], &[]][line.rng.range(0, 3) as usize];
    let frame = json!({"type": "seek", "interests": interests, "languages": ["en"], "translate": false});
    let answer = line.ask(frame).await?;
    match code(&answer) {
        None => place.seeking = place.talk.is_none(),
        // Its own `found` is on its way, or was lost: a new socket says which talk it is.
        Some("already_in_session") => return Err(Lost),
        Some(_) => line.listen(Duration::from_millis(300)).await?,
    }
    place.notice(line);
    Ok(())
}

/// Enters the talk's room; a talk that is over by now is let go of.
async fn enter(line: &mut Line, place: &mut Place) -> Result<(), Lost> {
    let Some((_, room)) = place.talk.clone() else { return Ok(()) };
    if !line.rooms.contains(&room) {
        let answer = line.join(&room).await?;
        match code(&answer) {
            None => {}
            Some("closed" | "not_found") => place.over(line),
            Some(_) => line.listen(Duration::from_millis(300)).await?,
        }
    }
    Ok(())
}

async fn turn_of_seek(line: &mut Line, place: &mut Place) -> Result<(), Lost> {
    place.notice(line);
    if place.talk.is_none() {
        if !place.seeking {
            start_seeking(line, place).await?;
        }
        let wait = line.rng.millis(200, 2_500);
        line.listen(wait).await?;
        place.notice(line);
        if place.talk.is_none() && line.rng.chance(10) {
            let before = std::mem::replace(&mut place.unsure, true);
            let answer = line.ask(json!({"type": "cancel"})).await?;
            // One that was given up may be carried out when Postgres is back.
            place.unsure = before || code(&answer) == Some("unavailable");
            place.seeking &= code(&answer).is_some();
        }
        return if line.rng.chance(5) { Err(Lost) } else { Ok(()) };
    }
    enter(line, place).await?;
    for number in 0..line.rng.range(0, 6) as usize {
        let wait = line.rng.millis(30, 500);
        line.listen(wait).await?;
        place.notice(line);
        let Some((_, room)) = place.talk.clone().filter(|talk| line.rooms.contains(&talk.1)) else { return Ok(()) };
        let text = text(line, number);
        line.post(&room, text).await?;
    }
    let wait = line.rng.millis(50, 1_000);
    line.listen(wait).await?;
    place.notice(line);
    let Some((session, room)) = place.talk.clone() else { return Ok(()) };
    let answer = match line.rng.range(0, 100) {
        0..45 => line.ask(json!({"type": "next", "session": session, "seek": true})).await?,
        45..55 => line.ask(json!({"type": "next", "session": session, "seek": false})).await?,
        55..75 => line.ask(json!({"type": "leave", "room": room})).await?,
        75..88 => return Err(Lost),
        _ => return Ok(()),
    };
    if code(&answer).is_none() {
        place.notice(line);
        if place.talk.as_ref().is_some_and(|talk| talk.0 == session) {
            place.over(line);
            place.seeking = answer["ok"]["ticket"].is_string();
        }
    }
    Ok(())
}

/// Waits or talks on. True once it has a ticket or is in a talk.
async fn stay(line: &mut Line, place: &mut Place) -> Result<bool, Lost> {
    if std::mem::take(&mut place.unsure) {
        // All is healed: whatever was on its way is done soon, and a new socket says what became of it.
        line.drop_socket();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if !line.is_up() {
        place.open(line).await?;
    }
    place.notice(line);
    if place.talk.is_some() {
        enter(line, place).await?;
    } else if !place.seeking {
        start_seeking(line, place).await?;
    }
    line.listen(Duration::from_millis(300)).await?;
    place.notice(line);
    Ok(place.seeking || place.talk.is_some())
}

/// Leaves and cancels. True once a new socket says that there is neither a talk nor a ticket.
pub async fn stop(line: &mut Line, place: &mut Place) -> Result<bool, Lost> {
    place.open(line).await?;
    if let Some((_, room)) = place.talk.clone() {
        let answer = line.ask(json!({"type": "leave", "room": room})).await?;
        if code(&answer).is_none() {
            place.over(line);
        }
        return Ok(false);
    }
    if place.seeking {
        line.ask(json!({"type": "cancel"})).await?;
        return Ok(false);
    }
    line.drop_socket();
    Ok(true)
}
