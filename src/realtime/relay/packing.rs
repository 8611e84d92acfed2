//! Packing: one publish carries the frames of many topics.
//!
//! The head: [`VERSION`] (1 byte), the service (16) and the node that published (16). Then each record: the kind of its topic (1),
//! the topic's id (8), the entry's seq or 0 (8), and the frame as it goes over a socket, whose own head says how long it is.
use uuid::Uuid;

use super::Publication;
use crate::realtime::{Frame, Topic};

/// Of this format. Nodes that speak another do not understand each other, and repair what they miss from Postgres.
const VERSION: u8 = 2;
/// Bytes before the first record, and of a record before its frame.
pub(super) const HEAD: usize = 1 + 16 + 16;
const LABEL: usize = 1 + 8 + 8;

/// How many bytes a record takes.
pub(super) fn size(one: &Publication) -> usize {
    LABEL + one.frame.wire().len()
}

/// Begins a publish of a service's node.
pub(super) fn begin(service: Uuid, node: Uuid, into: &mut Vec<u8>) {
    into.push(VERSION);
    into.extend_from_slice(service.as_bytes());
    into.extend_from_slice(node.as_bytes());
}

/// Adds a record to a publish of its node.
pub(super) fn pack(one: &Publication, into: &mut Vec<u8>) {
    let (kind, id) = match one.topic {
        Topic::Nodes => (0, 0),
        Topic::Room(id) => (1, id),
        Topic::Visitor(id) => (2, id),
    };
    into.push(kind);
    into.extend_from_slice(&id.to_be_bytes());
    into.extend_from_slice(&one.seq.unwrap_or_default().to_be_bytes());
    into.extend_from_slice(one.frame.wire());
}

/// Returns the service and the node that published. `None` if it is no publish.
pub(super) fn origin(publish: &[u8]) -> Option<(Uuid, Uuid)> {
    let [version, ids @ ..] = publish.first_chunk::<HEAD>()?;
    let (service, node) = ids.split_at(16);
    (*version == VERSION).then(|| Some((Uuid::from_slice(service).ok()?, Uuid::from_slice(node).ok()?)))?
}

/// The records of a publish whose topics are wanted; the others are passed over unread. None: something is malformed.
///
/// Frames are copied out: a room remembers its recent entries, and a slice would keep the whole publish alive for each.
pub(super) fn unpack(publish: &[u8], wanted: impl Fn(Topic) -> bool) -> Option<Vec<Publication>> {
    let (_, node) = origin(publish)?;
    let mut rest = &publish[HEAD..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (label, frames) = rest.split_at_checked(LABEL)?;
        let number = |at: usize| label[at..].first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        let (id, seq) = (number(1)?, number(9)?);
        let topic = match label[0] {
            0 if id == 0 => Topic::Nodes,
            1 => Topic::Room(id),
            2 => Topic::Visitor(id),
            _ => return None,
        };
        let (wire, after) = frames.split_at_checked(Frame::length(frames)?)?;
        rest = after;
        if seq < 0 {
            return None;
        }
        if wanted(topic) {
            records.push(Publication {
                node,
                topic,
                seq: Some(seq).filter(|seq| *seq > 0),
                frame: Frame::copied(wire)?,
            });
        }
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Frame, Publication, Topic, Uuid, begin, origin, pack, size, unpack};

    fn publish(relayed: &[Publication]) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(Uuid::nil(), Uuid::max(), &mut bytes);
        for one in relayed {
            let before = bytes.len();
            pack(one, &mut bytes);
            assert_eq!(bytes.len() - before, size(one));
        }
        bytes
    }

    fn relayed() -> impl Strategy<Value = Vec<Publication>> {
        let topic =
            prop_oneof![Just(Topic::Nodes), any::<i64>().prop_map(Topic::Room), any::<i64>().prop_map(Topic::Visitor),];
        let text = prop_oneof![".{0,40}", "[a-z안]{100,200}", Just("x".repeat(70_000))];
        let one = (topic, prop::option::of(1..=i64::MAX), text).prop_map(|(topic, seq, text)| Publication {
            node: Uuid::max(),
            topic,
            seq,
            frame: text.as_str().into(),
        });
        prop::collection::vec(one, 0..12)
    }

    fn parts(one: &Publication) -> (Uuid, Topic, Option<i64>, Frame) {
        (one.node, one.topic, one.seq, one.frame.clone())
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_in_order_and_the_unwanted_does_not(relayed in relayed()) {
            let bytes = publish(&relayed);
            prop_assert_eq!(origin(&bytes), Some((Uuid::nil(), Uuid::max())));
            let got = unpack(&bytes, |_| true).unwrap();
            prop_assert_eq!(got.iter().map(parts).collect::<Vec<_>>(), relayed.iter().map(parts).collect::<Vec<_>>());
            let rooms = unpack(&bytes, |topic| matches!(topic, Topic::Room(_))).unwrap();
            let sent = relayed.iter().filter(|one| matches!(one.topic, Topic::Room(_)));
            prop_assert_eq!(rooms.iter().map(parts).collect::<Vec<_>>(), sent.map(parts).collect::<Vec<_>>());
        }

        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes, |_| true);
            let mut begun = Vec::new();
            begin(Uuid::nil(), Uuid::nil(), &mut begun);
            begun.extend_from_slice(&bytes);
            let _ = unpack(&begun, |_| true);
        }

        #[test]
        fn a_publish_that_was_cut_or_changed_gives_only_whole_frames(
            relayed in relayed(), at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<bool>(),
        ) {
            let mut bytes = publish(&relayed);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            for one in unpack(&bytes, |_| true).unwrap_or_default() {
                prop_assert_eq!(&Frame::from(&*one.frame), &one.frame);
                prop_assert!(one.seq.is_none_or(|seq| seq > 0));
            }
        }
    }

    #[test]
    fn a_part_of_a_record_another_version_and_what_is_no_text_are_refused() {
        let one = Publication { node: Uuid::max(), topic: Topic::Room(7), seq: Some(1), frame: "안녕".into() };
        let whole = publish(&[one]);
        assert!(unpack(&whole, |_| true).is_some());
        for cut in (0..whole.len()).filter(|cut| *cut != super::HEAD) {
            assert!(unpack(&whole[..cut], |_| true).is_none(), "{cut}");
        }
        for (at, byte) in [(0, 1), (super::HEAD, 3), (super::HEAD + 9, 0x80), (whole.len() - 1, 0xff)] {
            let mut wrong = whole.clone();
            wrong[at] = byte;
            assert!(unpack(&wrong, |_| true).is_none(), "{at}");
        }
    }
}
