//! Packing: one publish carries the frames of many topics.
//!
//! The header is [`FORMAT_VERSION`] (1 byte), the service (16) and the node that published (16).
//! Each record has the kind of its topic (1), the topic's id (8), the entry's sequence number or 0
//! (8), and the frame as it goes over a socket, whose own header holds its length.
use uuid::Uuid;

use super::Publication;
use crate::ids::Seq;
use crate::realtime::{Frame, Topic};

/// The version of this format. Nodes ignore publishes of another version and find what they miss in
/// Postgres.
const FORMAT_VERSION: u8 = 2;
/// Bytes of a publish before its first record.
pub(super) const HEADER_BYTES: usize = 1 + 16 + 16;
/// Bytes of a record before its frame.
const RECORD_HEADER_BYTES: usize = 1 + 8 + 8;

/// Returns how many bytes a record takes.
pub(super) fn record_size(one: &Publication) -> usize {
    RECORD_HEADER_BYTES + one.frame.wire().len()
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
        Topic::Room(id) => (1, id),
        Topic::Visitor(id) => (2, id),
    };
    into.push(kind);
    into.extend_from_slice(&id.to_be_bytes());
    into.extend_from_slice(&one.seq.unwrap_or_default().to_be_bytes());
    into.extend_from_slice(one.frame.wire());
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
        let (header, frames) = rest.split_at_checked(RECORD_HEADER_BYTES)?;
        let number = |at: usize| header[at..].first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        let (id, seq): (_, Seq) = (number(1)?, number(9)?);
        let topic = match header[0] {
            0 if id == 0 => Topic::Nodes,
            1 => Topic::Room(id),
            2 => Topic::Visitor(id),
            _ => return None,
        };
        let (wire, after) = frames.split_at_checked(Frame::encoded_len(frames)?)?;
        rest = after;
        if seq < 0 {
            return None;
        }
        if wanted(topic) {
            records.push(Publication {
                node,
                topic,
                seq: Some(seq).filter(|seq| *seq > 0),
                frame: Frame::decode(wire)?,
            });
        }
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Frame, Publication, Seq, Topic, Uuid, origin, record_size, unpack, write_header, write_record};

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

    fn parts(one: &Publication) -> (Uuid, Topic, Option<Seq>, Frame) {
        (one.node, one.topic, one.seq, one.frame.clone())
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
                prop_assert_eq!(&Frame::from(&*one.frame), &one.frame);
                prop_assert!(one.seq.is_none_or(|seq| seq > 0));
            }
        }
    }

    #[test]
    fn part_of_a_record_another_version_and_invalid_text_are_refused() {
        let one = Publication { node: Uuid::max(), topic: Topic::Room(7), seq: Some(1), frame: "안녕".into() };
        let whole = publish(&[one]);
        assert!(unpack(&whole, |_| true).is_some());
        for cut in (0..whole.len()).filter(|cut| *cut != super::HEADER_BYTES) {
            assert!(unpack(&whole[..cut], |_| true).is_none(), "{cut}");
        }
        for (at, byte) in [(0, 1), (super::HEADER_BYTES, 3), (super::HEADER_BYTES + 9, 0x80), (whole.len() - 1, 0xff)] {
            let mut wrong = whole.clone();
            wrong[at] = byte;
            assert!(unpack(&wrong, |_| true).is_none(), "{at}");
        }
    }
}
