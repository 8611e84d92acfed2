//! The flood limits: how many entries a room of many takes, in all and from one address prefix.
use std::hash::{Hash, Hasher};

use serde_json::{Map, Value};

use crate::app::App;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};
use crate::rooms::model::{ChatRoom, RoomKind};

/// Checks that the room has capacity for an entry. A talk is not limited: only two people write,
/// within their own limits.
///
/// The narrowest limit is checked first, so that a flood that it refuses takes nothing from the
/// others in the room.
///
/// # Errors
/// `rate_limited`.
pub(super) fn check(app: &App, room: &ChatRoom, prefix: &[u8], text_key: u64) -> Result<()> {
    if room.kind == RoomKind::Talk || faults::on(Fault::FloodAccepted) {
        return Ok(());
    }
    app.limits.take_for(Bucket::RepeatedText, (prefix, room.id, text_key))?;
    app.limits.take_for(Bucket::PrefixEntries, (prefix, room.id))?;
    app.limits.take(Bucket::RoomEntries, Key::Room(room.id))
}

/// Returns a number that is the same for texts that differ only in spaces and capitals. Costs
/// nothing if limits are off.
pub(super) fn text_key(app: &App, payload: &Map<String, Value>) -> u64 {
    let text = payload.get("text").and_then(|text| text.as_str()).unwrap_or_default();
    app.limits.hash(Folded(text))
}

/// A text that hashes without its spaces and capitals.
struct Folded<'a>(&'a str);

impl Hash for Folded<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let visible = self.0.chars().filter(|c| !c.is_whitespace());
        visible.flat_map(char::to_lowercase).for_each(|c| c.hash(state));
    }
}
