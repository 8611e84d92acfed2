//! Floods: what a room of many takes, in all and from one address prefix, whoever writes it.
use std::hash::{Hash, Hasher};

use super::Post;
use super::model::{ChatRoom, RoomKind};
use crate::app::App;
use crate::error::Result;
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};

/// Refuses an entry that is one too many for its room. In a talk only two people write, whose own limits are enough.
///
/// The narrowest limit comes first: what a flood is refused by it does not take from the others in the room.
/// Errors: `rate_limited`.
pub(super) fn check(app: &App, room: &ChatRoom, prefix: &[u8], alike: u64) -> Result<()> {
    if room.kind == RoomKind::Talk || faults::on(Fault::FloodAccepted) {
        return Ok(());
    }
    app.limits.take_for(Bucket::RepeatedText, (prefix, room.id, alike))?;
    app.limits.take_for(Bucket::PrefixEntries, (prefix, room.id))?;
    app.limits.take(Bucket::RoomEntries, Key::Room(room.id))
}

/// Returns the same number for texts that differ in spaces and capitals only. Costs nothing where limits are off.
pub(super) fn alike(app: &App, post: &Post) -> u64 {
    let text = post.payload.get("text").and_then(|text| text.as_str()).unwrap_or_default();
    app.limits.hash(Alike(text))
}

/// A text without its spaces and capitals.
struct Alike<'a>(&'a str);

impl Hash for Alike<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let visible = self.0.chars().filter(|c| !c.is_whitespace());
        visible.flat_map(char::to_lowercase).for_each(|c| c.hash(state));
    }
}
