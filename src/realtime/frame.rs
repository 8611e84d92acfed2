//! A frame: one text message in the bytes that go over a socket, made once for all the sockets that it goes to.
use std::cell::RefCell;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

/// The most a frame's head takes: two bytes, and eight for a long length (RFC 6455, 5.2).
const HEAD: usize = 10;
/// A whole text message that a server sends: not masked.
const TEXT: u8 = 0x81;

/// Room for encoding that a thread keeps.
const SPARE: usize = 64 * 1024;

thread_local! {
    /// Where messages are encoded before it is known how long they are.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A text message with its head. Cheap to clone: every socket gets the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Encodes a message. What it is made of has string keys and finite numbers, which always encode.
    pub fn json<T: Serialize>(message: &T) -> Self {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.resize(HEAD, 0);
            let _ = serde_json::to_writer(&mut *scratch, message);
            let frame = Self::headed(scratch);
            if scratch.capacity() > SPARE {
                *scratch = Vec::new();
            }
            frame
        })
    }

    /// Copies the text, which begins at [`HEAD`], with its head right before it: a frame that waits in memory takes no more
    /// than it needs.
    fn headed(bytes: &mut [u8]) -> Self {
        let length = bytes.len() - HEAD;
        let long = (length as u64).to_be_bytes();
        let (start, short, rest) = match length {
            0..126 => (HEAD - 2, u8::try_from(length).unwrap_or_default(), 8),
            126..=0xffff => (HEAD - 4, 126, 6),
            _ => (0, 127, 0),
        };
        bytes[start] = TEXT;
        bytes[start + 1] = short;
        bytes[start + 2..HEAD].copy_from_slice(&long[rest..]);
        Self(Bytes::copy_from_slice(&bytes[start..]))
    }

    /// How many bytes the first frame of these takes, by its head. None: a text message does not begin so, or its head is cut.
    pub(super) fn length(bytes: &[u8]) -> Option<usize> {
        let ([TEXT, short], rest) = bytes.split_first_chunk::<2>()? else { return None };
        // Only the shortest form of a length is one.
        let (head, text) = match short {
            0..126 => (2, u64::from(*short)),
            126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
            _ => return None, // masked
        };
        let shortest = match head {
            2 => true,
            4 => text >= 126,
            _ => text > 0xffff,
        };
        if shortest { usize::try_from(text).ok()?.checked_add(head) } else { None }
    }

    /// A copy of what another node made. None: it is not one whole text message.
    pub(super) fn copied(wire: &[u8]) -> Option<Self> {
        if Self::length(wire)? != wire.len() {
            return None;
        }
        let frame = Self(Bytes::copy_from_slice(wire));
        std::str::from_utf8(frame.text()).is_ok().then_some(frame)
    }

    fn text(&self) -> &[u8] {
        let head = match self.0[1] {
            127 => 10,
            126 => 4,
            _ => 2,
        };
        &self.0[head..]
    }

    /// What goes over the socket.
    pub fn wire(&self) -> &Bytes {
        &self.0
    }

    /// The same, without another reference to it.
    pub fn into_wire(self) -> Bytes {
        self.0
    }

    /// Several messages, one behind the other, in one piece of bytes: a socket that gets all of them copies and counts once.
    pub fn joined<'a>(frames: impl Iterator<Item = &'a Self> + Clone) -> Bytes {
        let mut bytes = BytesMut::with_capacity(frames.clone().map(|frame| frame.0.len()).sum());
        for frame in frames {
            bytes.extend_from_slice(&frame.0);
        }
        bytes.freeze()
    }
}

/// The text.
impl Deref for Frame {
    type Target = str;
    fn deref(&self) -> &str {
        // Made of a string: it is one.
        std::str::from_utf8(self.text()).unwrap_or_default()
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        let mut bytes = Vec::with_capacity(HEAD + text.len());
        bytes.resize(HEAD, 0);
        bytes.extend_from_slice(text.as_bytes());
        Self::headed(&mut bytes)
    }
}

/// The texts of what went over a socket (tests).
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
    fn the_head_says_how_long_the_text_is() {
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
            assert_eq!(Frame::length(&head), Some(head.len() + length));
            assert_eq!(Frame::copied(frame.wire()), Some(frame));
        }
        assert_eq!(&*Frame::json(&["안녕"]), r#"["안녕"]"#);
        let joined = Frame::joined([Frame::from("a"), "b".into()].iter());
        assert_eq!(joined, vec![0x81, 1, b'a', 0x81, 1, b'b']);
        assert_eq!(texts(&joined), ["a", "b"]);
        let long = [0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        for wrong in [&[][..], &[0x81], &[0x82, 0], &[0x81, 0x80], &[0x81, 126, 0, 125], &[0x81, 126, 1], &long] {
            assert_eq!(Frame::length(wrong), None, "{wrong:?}");
        }
        for wrong in [&[0x81, 1][..], &[0x81, 1, b'a', b'b'], &[0x81, 1, 0xff], &joined] {
            assert_eq!(Frame::copied(wrong), None, "{wrong:?}");
        }
    }
}
