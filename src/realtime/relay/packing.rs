//! Packing: one publish carries the publications of many topics.
//!
//! The header is [`FORMAT_VERSION`] (1 byte), the service (16) and the node that published (16).
//! Each record has the kind of its topic (1), the topic's id (8), the kind of its content (1) and
//! the content. An entry is its sequence number (8) and its frame. A frame is stored as it goes
//! over a socket, whose own header holds its length. An event is a tag (1) and its fields.
use uuid::Uuid;

use super::{Content, Publication};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::realtime::{Entry, Frame, NodeEvent, Topic};

/// The version of this format. Nodes ignore publishes of another version and find what they miss in
/// Postgres.
const FORMAT_VERSION: u8 = 3;
/// Bytes of a publish before its first record.
pub(super) const HEADER_BYTES: usize = 1 + 16 + 16;
/// Bytes of a record before its content.
const RECORD_HEADER_BYTES: usize = 1 + 8 + 1;

const ENTRY: u8 = 0;
const FRAME: u8 = 1;
const EVENT: u8 = 2;
const EVENT_AND_FRAME: u8 = 3;

/// Returns how many bytes a record takes.
pub(super) fn record_size(one: &Publication) -> usize {
    RECORD_HEADER_BYTES
        + match &one.content {
            Content::Entry(entry) => 8 + entry.frame.wire().len(),
            Content::Frame(frame) => frame.wire().len(),
            Content::Event(event) => event.encoded_len(),
            Content::FrameWithEvent(frame, event) => event.encoded_len() + frame.wire().len(),
        }
}

/// Starts a publish of a service's node.
pub(super) fn write_header(service: Uuid, node: Uuid, into: &mut Vec<u8>) {
    into.push(FORMAT_VERSION);
    into.extend_from_slice(service.as_bytes());
    into.extend_from_slice(node.as_bytes());
}

/// Adds a record to a publish of its node.
pub(super) fn write_record(one: &Publication, into: &mut Vec<u8>) {
    let (kind, id) = match one.topic {
        Topic::Nodes => (0, 0),
        Topic::Room(id) => (1, id.0),
        Topic::Visitor(id) => (2, id.0),
    };
    into.push(kind);
    into.extend_from_slice(&id.to_be_bytes());
    match &one.content {
        Content::Entry(entry) => {
            into.push(ENTRY);
            into.extend_from_slice(&entry.seq.0.to_be_bytes());
            into.extend_from_slice(entry.frame.wire());
        }
        Content::Frame(frame) => {
            into.push(FRAME);
            into.extend_from_slice(frame.wire());
        }
        Content::Event(event) => {
            into.push(EVENT);
            event.write(into);
        }
        Content::FrameWithEvent(frame, event) => {
            into.push(EVENT_AND_FRAME);
            event.write(into);
            into.extend_from_slice(frame.wire());
        }
    }
}

/// Returns the service and the node of a publish. `None` if the header is not one of this version.
pub(super) fn origin(publish: &[u8]) -> Option<(Uuid, Uuid)> {
    let [version, ids @ ..] = publish.first_chunk::<HEADER_BYTES>()?;
    let (service, node) = ids.split_at(16);
    (*version == FORMAT_VERSION).then(|| Some((Uuid::from_slice(service).ok()?, Uuid::from_slice(node).ok()?)))?
}

/// Returns the records of a publish whose topics are `wanted`, and skips the others. `None` if
/// something is malformed.
///
/// Frames are copied out of the publish: a room remembers its recent entries, and a slice would
/// keep the whole publish in memory for each of them.
pub(super) fn unpack(publish: &[u8], wanted: impl Fn(Topic) -> bool) -> Option<Vec<Publication>> {
    let (_, node) = origin(publish)?;
    let mut rest = &publish[HEADER_BYTES..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        rest = after;
        let [kind, id @ .., tag] = header;
        let id = i64::from_be_bytes(*id.first_chunk()?);
        let topic = match kind {
            0 if id == 0 => Topic::Nodes,
            1 => Topic::Room(RoomId(id)),
            2 => Topic::Visitor(VisitorId(id)),
            _ => return None,
        };
        let is_wanted = wanted(topic);
        let content = match *tag {
            ENTRY => {
                let (seq, after) = rest.split_first_chunk()?;
                rest = after;
                let seq = Seq(i64::from_be_bytes(*seq));
                if seq < Seq::FIRST {
                    return None;
                }
                read_frame(&mut rest, is_wanted)?.map(|frame| Content::Entry(Entry { seq, frame }))
            }
            FRAME => read_frame(&mut rest, is_wanted)?.map(Content::Frame),
            EVENT => Some(Content::Event(NodeEvent::read(&mut rest)?)),
            EVENT_AND_FRAME => {
                let event = NodeEvent::read(&mut rest)?;
                read_frame(&mut rest, is_wanted)?.map(|frame| Content::FrameWithEvent(frame, event))
            }
            _ => return None,
        };
        if let Some(content) = content.filter(|_| is_wanted) {
            records.push(Publication { node, topic, content });
        }
    }
    Some(records)
}

/// Reads a frame and advances past it. The inner `None` is a frame that is not wanted and was
/// skipped; the outer one is a malformed frame.
fn read_frame(rest: &mut &[u8], is_wanted: bool) -> Option<Option<Frame>> {
    let (wire, after) = rest.split_at_checked(Frame::encoded_len(rest)?)?;
    *rest = after;
    if is_wanted { Frame::decode(wire).map(Some) } else { Some(None) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Content, Entry, Frame, NodeEvent, Publication, RoomId, Seq, Topic, Uuid, VisitorId, origin, record_size,
        unpack, write_header, write_record,
    };
    use crate::ids::RightsVersion;

    fn publish(publications: &[Publication]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(Uuid::nil(), Uuid::max(), &mut bytes);
        for one in publications {
            let before = bytes.len();
            write_record(one, &mut bytes);
            assert_eq!(bytes.len() - before, record_size(one));
        }
        bytes
    }

    fn publications() -> impl Strategy<Value = Vec<Publication>> {
        let topic = prop_oneof![
            Just(Topic::Nodes),
            any::<i64>().prop_map(|id| Topic::Room(RoomId(id))),
            any::<i64>().prop_map(|id| Topic::Visitor(VisitorId(id)))
        ];
        let text = prop_oneof![".{0,40}", "[a-z안]{100,200}", Just("x".repeat(70_000))];
        let content = (text, 1..=i64::MAX, event(), 0..4).prop_map(|(text, seq, event, kind)| {
            let frame: Frame = text.as_str().into();
            match kind {
                0 => Content::Entry(Entry { seq: Seq(seq), frame }),
                1 => Content::Frame(frame),
                2 => Content::Event(event),
                _ => Content::FrameWithEvent(frame, event),
            }
        });
        let one = (topic, content).prop_map(|(topic, content)| Publication { node: Uuid::max(), topic, content });
        prop::collection::vec(one, 0..12)
    }

    fn event() -> impl Strategy<Value = NodeEvent> {
        let room = any::<u128>().prop_map(Uuid::from_u128);
        prop_oneof![
            (room.clone(), any::<i64>(), any::<Option<i64>>()).prop_map(|(room, rights, removed)| {
                let (rights, removed) = (RightsVersion(rights), removed.map(VisitorId));
                NodeEvent::RightsChanged { room, rights, removed }
            }),
            (room, any::<u64>()).prop_map(|(room, online)| NodeEvent::OnlineCount { room, online }),
            Just(NodeEvent::Matched),
            any::<bool>().prop_map(|requeued| NodeEvent::TalkEnded { requeued }),
            Just(NodeEvent::NewTicket),
            any::<i64>().prop_map(|visitor| NodeEvent::TicketCancelled { visitor: VisitorId(visitor) }),
            Just(NodeEvent::RightsRevoked),
        ]
    }

    fn parts(one: &Publication) -> (Uuid, Topic, String) {
        (one.node, one.topic, format!("{:?}", one.content))
    }

    fn frame_of(one: &Publication) -> Option<&Frame> {
        match &one.content {
            Content::Entry(entry) => Some(&entry.frame),
            Content::Frame(frame) | Content::FrameWithEvent(frame, _) => Some(frame),
            Content::Event(_) => None,
        }
    }

    proptest! {
        #[test]
        fn packed_records_are_unpacked_in_order_and_unwanted_ones_are_skipped(sent in publications()) {
            let bytes = publish(&sent);
            prop_assert_eq!(origin(&bytes), Some((Uuid::nil(), Uuid::max())));
            let got = unpack(&bytes, |_| true).unwrap();
            prop_assert_eq!(got.iter().map(parts).collect::<Vec<_>>(), sent.iter().map(parts).collect::<Vec<_>>());
            let rooms = unpack(&bytes, |topic| matches!(topic, Topic::Room(_))).unwrap();
            let of_rooms = sent.iter().filter(|one| matches!(one.topic, Topic::Room(_)));
            prop_assert_eq!(rooms.iter().map(parts).collect::<Vec<_>>(), of_rooms.map(parts).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes, |_| true);
            let mut begun = Vec::new();
            write_header(Uuid::nil(), Uuid::nil(), &mut begun);
            begun.extend_from_slice(&bytes);
            let _ = unpack(&begun, |_| true);
        }

        #[test]
        fn a_publish_that_was_cut_or_changed_yields_only_whole_frames(
            sent in publications(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>(),
        ) {
            let mut bytes = publish(&sent);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            for one in unpack(&bytes, |_| true).unwrap_or_default() {
                if let Some(frame) = frame_of(&one) {
                    prop_assert_eq!(&Frame::from(&**frame), frame);
                }
                prop_assert!(!matches!(&one.content, Content::Entry(entry) if entry.seq < Seq::FIRST));
            }
        }
    }

    #[test]
    fn part_of_a_record_another_version_and_invalid_text_are_refused() {
        let content = Content::Entry(Entry { seq: Seq(1), frame: "안녕".into() });
        let one = Publication { node: Uuid::max(), topic: Topic::Room(RoomId(7)), content };
        let whole = publish(&[one]);
        assert!(unpack(&whole, |_| true).is_some());
        for cut in (0..whole.len()).filter(|cut| *cut != super::HEADER_BYTES) {
            assert!(unpack(&whole[..cut], |_| true).is_none(), "{cut}");
        }
        for (at, byte) in [
            (0, 1),
            (super::HEADER_BYTES, 3),
            (super::HEADER_BYTES + 9, 9),
            (super::HEADER_BYTES + 10, 0x80),
            (whole.len() - 1, 0xff),
        ] {
            let mut wrong = whole.clone();
            wrong[at] = byte;
            assert!(unpack(&wrong, |_| true).is_none(), "{at}");
        }
    }
}
