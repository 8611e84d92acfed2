//! An entry of a room's log, encoded for sockets.
use super::Frame;
use crate::ids::Seq;

/// An encoded entry. Clones share its bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number in the room's log.
    pub seq: Seq,
    pub frame: Frame,
}
