//! Node events: typed control messages between the nodes of a service. Sockets never get them.
use uuid::Uuid;

use crate::ids::{RightsVersion, VisitorId};

/// A control message of a node to the others, published to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The version of the rights in the topic's room rose.
    RightsChanged {
        /// The public id of the room.
        room: Uuid,
        rights: RightsVersion,
        /// The member who lost their membership, if the change ended one.
        removed: Option<VisitorId>,
    },
    /// The number of people who have the topic's room open on the publishing node.
    OnlineCount {
        /// The public id of the room.
        room: Uuid,
        online: u64,
    },
    /// The topic's visitor was matched: their ticket is gone.
    Matched,
    /// The talk of the topic's visitor ended.
    TalkEnded {
        /// Whether the visitor has a ticket again.
        requeued: bool,
    },
    /// There is a new ticket to match.
    NewTicket,
    /// A visitor does not wait any more.
    TicketCancelled { visitor: VisitorId },
    /// Somebody lost a right everywhere.
    RightsRevoked,
    /// What the public pages show has changed.
    ContentChanged,
}

const RIGHTS_CHANGED: u8 = 1;
const ONLINE_COUNT: u8 = 2;
const MATCHED: u8 = 3;
const TALK_ENDED: u8 = 4;
const NEW_TICKET: u8 = 5;
const TICKET_CANCELLED: u8 = 6;
const RIGHTS_REVOKED: u8 = 7;
const CONTENT_CHANGED: u8 = 8;

impl NodeEvent {
    /// Appends the event: a tag byte, then its fields.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        match *self {
            Self::RightsChanged { room, rights, removed } => {
                into.push(RIGHTS_CHANGED);
                into.extend_from_slice(room.as_bytes());
                into.extend_from_slice(&rights.0.to_be_bytes());
                into.push(u8::from(removed.is_some()));
                into.extend_from_slice(&removed.map_or(0, |visitor| visitor.0).to_be_bytes());
            }
            Self::OnlineCount { room, online } => {
                into.push(ONLINE_COUNT);
                into.extend_from_slice(room.as_bytes());
                into.extend_from_slice(&online.to_be_bytes());
            }
            Self::Matched => into.push(MATCHED),
            Self::TalkEnded { requeued } => into.extend_from_slice(&[TALK_ENDED, u8::from(requeued)]),
            Self::NewTicket => into.push(NEW_TICKET),
            Self::TicketCancelled { visitor } => {
                into.push(TICKET_CANCELLED);
                into.extend_from_slice(&visitor.0.to_be_bytes());
            }
            Self::RightsRevoked => into.push(RIGHTS_REVOKED),
            Self::ContentChanged => into.push(CONTENT_CHANGED),
        }
    }

    /// Returns the size of the event in bytes.
    pub(super) fn encoded_len(&self) -> usize {
        1 + match self {
            Self::RightsChanged { .. } => 16 + 8 + 1 + 8,
            Self::OnlineCount { .. } => 16 + 8,
            Self::TalkEnded { .. } => 1,
            Self::TicketCancelled { .. } => 8,
            Self::Matched | Self::NewTicket | Self::RightsRevoked | Self::ContentChanged => 0,
        }
    }

    /// Reads an event and advances past it. `None` if it is malformed or of an unknown kind.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take::<1>(bytes)? {
            [RIGHTS_CHANGED] => {
                let room = Uuid::from_bytes(take(bytes)?);
                let rights = RightsVersion(i64::from_be_bytes(take(bytes)?));
                let is_removal = flag(bytes)?;
                let removed = VisitorId(i64::from_be_bytes(take(bytes)?));
                Self::RightsChanged { room, rights, removed: is_removal.then_some(removed) }
            }
            [ONLINE_COUNT] => {
                let room = Uuid::from_bytes(take(bytes)?);
                Self::OnlineCount { room, online: u64::from_be_bytes(take(bytes)?) }
            }
            [MATCHED] => Self::Matched,
            [TALK_ENDED] => Self::TalkEnded { requeued: flag(bytes)? },
            [NEW_TICKET] => Self::NewTicket,
            [TICKET_CANCELLED] => Self::TicketCancelled { visitor: VisitorId(i64::from_be_bytes(take(bytes)?)) },
            [RIGHTS_REVOKED] => Self::RightsRevoked,
            [CONTENT_CHANGED] => Self::ContentChanged,
            _ => return None,
        })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn flag(bytes: &mut &[u8]) -> Option<bool> {
    match take::<1>(bytes)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}
