//! The identifiers and versions that several nouns share.

/// The inner id of a room. Clients know a room by its public id, a UUID.
pub type RoomId = i64;
/// The inner id of a visitor. Clients never see it.
pub type VisitorId = i64;
/// The number of an entry in its room's log: 1 for the first entry, without gaps.
pub type Seq = i64;
/// The version of a room's rights. It rises when somebody loses a right in that room.
pub type RightsVersion = i64;
/// The version of the fence. It rises when somebody loses a right everywhere.
pub type FenceVersion = i64;
