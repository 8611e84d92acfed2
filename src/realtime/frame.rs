//! A frame: one text message, encoded once as the bytes that all its sockets receive.
use std::cell::RefCell;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

/// Bytes of the longest frame header: two, and eight for a long length (RFC 6455, 5.2).
const MAX_HEADER_BYTES: usize = 10;
/// The first byte of a complete text message. A server does not mask its frames.
const TEXT: u8 = 0x81;

/// Bytes up to which a thread keeps its encoding buffer for the next message.
const MAX_SPARE_SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    /// The buffer for messages whose length is not known yet.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A text message with its header. Clones are cheap: all sockets share the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Encodes a message as JSON. Messages have string keys and finite numbers, so encoding cannot
    /// fail.
    pub fn json<T: Serialize>(message: &T) -> Self {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.resize(MAX_HEADER_BYTES, 0);
            let _ = serde_json::to_writer(&mut *scratch, message);
            let frame = Self::with_header(scratch);
            if scratch.capacity() > MAX_SPARE_SCRATCH_BYTES {
                *scratch = Vec::new();
            }
            frame
        })
    }

    /// Writes the header in front of the text, which starts at [`MAX_HEADER_BYTES`], and copies
    /// both: a frame that waits in memory uses no more than it needs.
    fn with_header(bytes: &mut [u8]) -> Self {
        let length = bytes.len() - MAX_HEADER_BYTES;
        let long = (length as u64).to_be_bytes();
        let (start, short, rest) = match length {
            0..126 => (MAX_HEADER_BYTES - 2, u8::try_from(length).unwrap_or_default(), 8),
            126..=0xffff => (MAX_HEADER_BYTES - 4, 126, 6),
            _ => (0, 127, 0),
        };
        bytes[start] = TEXT;
        bytes[start + 1] = short;
        bytes[start + 2..MAX_HEADER_BYTES].copy_from_slice(&long[rest..]);
        Self(Bytes::copy_from_slice(&bytes[start..]))
    }

    /// Returns the length in bytes of the frame at the start of `bytes`, header included. `None` if
    /// no text message starts there or its header is incomplete.
    pub(super) fn encoded_len(bytes: &[u8]) -> Option<usize> {
        let ([TEXT, short], rest) = bytes.split_first_chunk::<2>()? else { return None };
        let (header, text) = match short {
            0..126 => (2, u64::from(*short)),
            126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
            _ => return None, // masked
        };
        // A length has to be in its shortest form (RFC 6455, 5.2).
        let is_shortest = match header {
            2 => true,
            4 => text >= 126,
            _ => text > 0xffff,
        };
        if is_shortest { usize::try_from(text).ok()?.checked_add(header) } else { None }
    }

    /// Copies a frame that another node encoded. `None` if the bytes are not exactly one text
    /// message.
    pub(super) fn decode(wire: &[u8]) -> Option<Self> {
        if Self::encoded_len(wire)? != wire.len() {
            return None;
        }
        let frame = Self(Bytes::copy_from_slice(wire));
        std::str::from_utf8(frame.text()).is_ok().then_some(frame)
    }

    fn text(&self) -> &[u8] {
        let header = match self.0[1] {
            127 => 10,
            126 => 4,
            _ => 2,
        };
        &self.0[header..]
    }

    /// Returns the bytes that are sent over the socket.
    pub fn wire(&self) -> &Bytes {
        &self.0
    }

    /// Returns the same bytes without another reference to them.
    pub fn into_wire(self) -> Bytes {
        self.0
    }

    /// Joins several messages into one buffer: a socket that gets all of them copies and counts
    /// once.
    pub fn concat<'a>(frames: impl Iterator<Item = &'a Self> + Clone) -> Bytes {
        let mut bytes = BytesMut::with_capacity(frames.clone().map(|frame| frame.0.len()).sum());
        for frame in frames {
            bytes.extend_from_slice(&frame.0);
        }
        bytes.freeze()
    }
}

/// Dereferences to the text of the message.
impl Deref for Frame {
    type Target = str;
    fn deref(&self) -> &str {
        // The text was encoded from a string or checked by `decode`.
        std::str::from_utf8(self.text()).unwrap_or_default()
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(MAX_HEADER_BYTES + text.len());
        bytes.resize(MAX_HEADER_BYTES, 0);
        bytes.extend_from_slice(text.as_bytes());
        Self::with_header(&mut bytes)
    }
}

/// Returns the texts of the messages in the bytes that were written to a socket.
#[cfg(test)]
pub fn texts(wire: &Bytes) -> Vec<String> {
    let mut rest = wire.clone();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (head, length) = match rest[1] {
            127 => (10, rest[2..10].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))),
            126 => (4, usize::from(rest[2]) << 8 | usize::from(rest[3])),
            short => (2, usize::from(short)),
        };
        texts.push(String::from_utf8(rest[head..head + length].to_vec()).unwrap());
        rest = rest.slice(head + length..);
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::{Frame, texts};

    #[test]
    fn the_header_holds_the_length_of_the_text() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(length);
            let frame = Frame::from(text.as_str());
            assert_eq!(frame.wire()[..head.len()], head, "{length}");
            assert_eq!((frame.wire().len(), &*frame), (head.len() + length, text.as_str()));
            assert_eq!(Frame::encoded_len(&head), Some(head.len() + length));
            assert_eq!(Frame::decode(frame.wire()), Some(frame));
        }
        assert_eq!(&*Frame::json(&["안녕"]), r#"["안녕"]"#);
        let concatenated = Frame::concat([Frame::from("a"), "b".into()].iter());
        assert_eq!(concatenated, vec![0x81, 1, b'a', 0x81, 1, b'b']);
        assert_eq!(texts(&concatenated), ["a", "b"]);
        let long = [0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        for wrong in [&[][..], &[0x81], &[0x82, 0], &[0x81, 0x80], &[0x81, 126, 0, 125], &[0x81, 126, 1], &long] {
            assert_eq!(Frame::encoded_len(wrong), None, "{wrong:?}");
        }
        for wrong in [&[0x81, 1][..], &[0x81, 1, b'a', b'b'], &[0x81, 1, 0xff], &concatenated] {
            assert_eq!(Frame::decode(wrong), None, "{wrong:?}");
        }
    }
}
