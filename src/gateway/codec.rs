//! The frames of RFC 6455 as a server reads and writes them. Holds no memory for a client that is between two messages.
//!
//! Ours rather than a library's, for three reasons that were measured (docs/BENCHMARKS.md): a message to a room is framed
//! once for all its sockets, an idle socket owns no buffers, and bytes go from the queue to the kernel without a copy.
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::realtime::CloseCode;

/// Fragments of one message.
const FRAGMENTS: usize = 128;
/// How long a client may take from a message's first byte to its last.
const COMPLETE: Duration = Duration::from_secs(10);
/// Bytes of a control frame.
const CONTROL: usize = 125;

/// What a client did against the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Framed in a way the protocol does not know, or without a mask.
    Protocol(&'static str),
    /// A text that is none.
    NotText,
    /// Longer than a message may be.
    TooLarge,
    /// In more pieces than are taken.
    TooManyPieces,
    /// A message that did not come in time.
    TooSlow,
}

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A text, to be had from [`Decoder::text`] until the next call.
    Text,
    Binary,
    /// A fragment of a message that is not whole yet. Told so that it can be counted.
    Piece,
    Ping(Bytes),
    Pong,
    /// The code, which is None where none was given.
    Close(Option<u16>),
}

/// The reading half. Fed with bytes as they come, it answers one message after the other.
pub(super) struct Decoder {
    /// Bytes of a message at most.
    limit: usize,
    /// What has come in; everything before `start` is done with.
    bytes: Vec<u8>,
    start: usize,
    /// The payload of the last whole data message: in `bytes`, or all of `message` for one that came in fragments.
    last: Option<Range<usize>>,
    /// The message that is coming in fragments.
    message: Vec<u8>,
    open: Option<Open>,
    /// Since when a frame or a message has been incomplete.
    waits: Option<Instant>,
}

/// A message of which fragments have come.
struct Open {
    text: bool,
    fragments: usize,
}

/// A frame's head.
struct Head {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Where its payload lies in `bytes`.
    payload: Range<usize>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Decoder {
    /// A decoder of messages of at most `limit` bytes, given what was read beyond the handshake.
    pub(super) fn new(limit: usize, read: &[u8]) -> Self {
        let bytes = read.to_vec();
        Self { limit, bytes, start: 0, last: None, message: Vec::new(), open: None, waits: None }
    }

    /// Takes bytes that came in. Ask [`Decoder::next`] until it has no more before taking others.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// The text of the message that [`Decoder::next`] has just answered.
    pub(super) fn text(&self) -> Result<&str, Violation> {
        let payload = match &self.last {
            Some(range) => &self.bytes[range.clone()],
            None => &self.message[..],
        };
        std::str::from_utf8(payload).map_err(|_| Violation::NotText)
    }

    /// The next message or fragment, or None when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Said>, Violation> {
        if self.open.is_none() && !self.message.is_empty() {
            self.message = Vec::new(); // the last text has been read
        }
        if let Some(head) = self.head()? {
            let Range { start, end } = head.payload;
            unmask(&mut self.bytes[start..end], head.mask);
            self.start = end;
            let said = if head.opcode >= CLOSE { self.control(&head)? } else { self.data(&head)? };
            if self.open.is_none() {
                self.waits = None;
            }
            return Ok(Some(said));
        }
        if self.start == self.bytes.len() {
            (self.bytes, self.start) = (Vec::new(), 0);
        }
        if self.bytes.is_empty() && self.open.is_none() {
            self.waits = None;
        } else if self.waits.get_or_insert_with(Instant::now).elapsed() > COMPLETE {
            return Err(Violation::TooSlow);
        }
        Ok(None)
    }

    /// The head of the frame at `start`, once the whole frame is there.
    fn head(&self) -> Result<Option<Head>, Violation> {
        let bytes = &self.bytes[self.start..];
        let &[first, second, ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits are set"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("a client's frames are masked"));
        }
        match opcode {
            CONTINUATION if self.open.is_none() => return Err(Violation::Protocol("a continuation of nothing")),
            TEXT | BINARY if self.open.is_some() => return Err(Violation::Protocol("a message within a message")),
            CLOSE..=PONG if !fin || usize::from(second & 0x7f) > CONTROL => {
                return Err(Violation::Protocol("a control frame is short and whole"));
            }
            CONTINUATION..=BINARY | CLOSE..=PONG => {}
            _ => return Err(Violation::Protocol("an unknown kind of frame")),
        }
        let (length, rest) = match second & 0x7f {
            126 => match bytes[2..].split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match bytes[2..].split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), &bytes[2..]),
        };
        // Refused by what it says, before it is there. A control frame between fragments is none of the message.
        let room = if opcode >= CLOSE { CONTROL } else { self.limit - self.message.len() };
        let length = usize::try_from(length).ok().filter(|length| *length <= room);
        let Some(length) = length else { return Err(Violation::TooLarge) };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.bytes.len() - rest.len();
        Ok(Some(Head { fin, opcode, mask: *mask, payload: start..start + length }))
    }

    /// A piece of a message, or the message when it is whole.
    fn data(&mut self, head: &Head) -> Result<Said, Violation> {
        if head.fin && self.open.is_none() {
            self.last = Some(head.payload.clone());
            return Ok(if head.opcode == TEXT { Said::Text } else { Said::Binary });
        }
        self.message.extend_from_slice(&self.bytes[head.payload.clone()]);
        let open = self.open.get_or_insert(Open { text: head.opcode == TEXT, fragments: 0 });
        open.fragments += 1;
        let is_text = |error: std::str::Utf8Error| error.error_len().is_none(); // cut within a character
        if open.text && !std::str::from_utf8(&self.message).map_or_else(is_text, |_| true) {
            return Err(Violation::NotText);
        }
        if !head.fin {
            return if open.fragments >= FRAGMENTS { Err(Violation::TooManyPieces) } else { Ok(Said::Piece) };
        }
        let said = if open.text { Said::Text } else { Said::Binary };
        (self.open, self.last) = (None, None);
        Ok(said)
    }

    fn control(&self, head: &Head) -> Result<Said, Violation> {
        let payload = &self.bytes[head.payload.clone()];
        Ok(match head.opcode {
            PING => Said::Ping(Bytes::copy_from_slice(payload)),
            PONG => Said::Pong,
            _ => Said::Close(match payload.split_first_chunk::<2>() {
                None if payload.is_empty() => None,
                None => return Err(Violation::Protocol("half a close code")),
                Some((code, reason)) => {
                    let code = u16::from_be_bytes(*code);
                    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                        return Err(Violation::Protocol("no such close code"));
                    }
                    std::str::from_utf8(reason).map_err(|_| Violation::NotText)?;
                    Some(code)
                }
            }),
        })
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for chunk in bytes.chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

impl Violation {
    /// The close code and its reason.
    pub(super) fn close(self) -> (CloseCode, &'static str) {
        match self {
            Self::Protocol(why) => (CloseCode::Protocol, why),
            Self::NotText => (CloseCode::NotText, "a text is UTF-8"),
            Self::TooLarge => (CloseCode::TooLarge, "a frame holds at most 32 KiB"),
            Self::TooManyPieces => (CloseCode::BadFrame, "a message comes in at most 128 pieces"),
            Self::TooSlow => (CloseCode::TooSlow, "a message comes within 10 s"),
        }
    }
}

/// A ping of the server.
pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[0x80 | PING, 0])
}

/// The answer to a ping: its own payload.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    control(PONG, payload)
}

/// A close frame; a reason longer than fits is cut at a character.
pub(super) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(CLOSE, &[]) };
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(CONTROL - 2)]);
    control(CLOSE, &payload)
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let length = payload.len().min(CONTROL);
    let mut bytes = vec![0x80 | opcode, u8::try_from(length).unwrap_or_default()];
    bytes.extend_from_slice(&payload[..length]);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoder, Said, Violation, close, pong};

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 250];
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            long => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(long as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }

    fn read(decoder: &mut Decoder) -> Vec<Result<String, Violation>> {
        let mut said = Vec::new();
        loop {
            match decoder.next() {
                Ok(None) => return said,
                Ok(Some(Said::Piece)) => {}
                Ok(Some(Said::Text)) => said.push(decoder.text().map(str::to_owned)),
                Ok(Some(other)) => said.push(Ok(format!("{other:?}"))),
                Err(why) => {
                    said.push(Err(why));
                    return said;
                }
            }
        }
    }

    fn all(bytes: &[u8]) -> Vec<Result<String, Violation>> {
        read(&mut Decoder::new(1_000, bytes))
    }

    #[test]
    fn a_message_may_come_in_pieces_with_control_frames_between() {
        let mut bytes = frame(0x01, "안".as_bytes());
        bytes.extend(frame(0x89, b"p"));
        bytes.extend(frame(0x00, &"녕".as_bytes()[..1]));
        bytes.extend(frame(0x80, &"녕".as_bytes()[1..]));
        bytes.extend(frame(0x81, b"next"));
        bytes.extend(frame(0x88, &[]));
        let expected = ["Ping(b\"p\")", "안녕", "next", "Close(None)"];
        assert_eq!(all(&bytes), expected.map(|said| Ok(said.to_owned())));
        // The same, a byte at a time.
        let mut decoder = Decoder::new(1_000, &[]);
        let mut said = Vec::new();
        for byte in bytes {
            decoder.feed(&[byte]);
            said.extend(read(&mut decoder));
        }
        assert_eq!(said, expected.map(|said| Ok(said.to_owned())));
        assert_eq!((decoder.bytes.capacity(), decoder.message.capacity()), (0, 0), "nothing is held between messages");
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        let protocol = |bytes: &[u8]| matches!(all(bytes)[..], [Err(Violation::Protocol(_))]);
        assert!(protocol(&frame(0xc1, b"x")), "a reserved bit");
        assert!(protocol(&frame(0x83, b"x")), "a reserved kind");
        assert!(protocol(&frame(0x8b, b"x")), "a reserved control frame");
        assert!(protocol(&[0x81, 1, b'x']), "no mask");
        assert!(protocol(&frame(0x80, b"x")), "a continuation of nothing");
        assert!(protocol(&[frame(0x01, b"x"), frame(0x81, b"x")].concat()), "a message within a message");
        assert!(protocol(&frame(0x09, b"x")), "a ping in fragments");
        assert!(protocol(&frame(0x89, &[b'x'; 126])), "a long ping");
        assert!(protocol(&frame(0x88, &[3])), "half a close code");
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert!(protocol(&frame(0x88, &code.to_be_bytes())), "{code}");
        }
        for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
            assert_eq!(all(&frame(0x88, &code.to_be_bytes())), [Ok(format!("Close(Some({code}))"))]);
        }
        assert_eq!(all(&frame(0x88, &[3, 232, 0xff])), [Err(Violation::NotText)]);
        assert_eq!(all(&frame(0x81, &[b'x', 0xff])), [Err(Violation::NotText)]);
        assert_eq!(all(&frame(0x01, &[b'x', 0xff])), [Err(Violation::NotText)], "before the rest has come");
        assert_eq!(all(&frame(0x81, &[b'x'; 1_001])[..4]), [Err(Violation::TooLarge)], "by its head alone");
        assert_eq!(all(&[frame(0x01, &[b'x'; 900]), frame(0x80, &[b'x'; 101])].concat()), [Err(Violation::TooLarge)]);
        assert_eq!(all(&[0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), [Err(Violation::TooLarge)]);
        let endless: Vec<u8> =
            std::iter::once(frame(0x01, b"")).chain((0..200).map(|_| frame(0x00, b""))).flatten().collect();
        assert_eq!(all(&endless), [Err(Violation::TooManyPieces)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_ten_seconds_to_come() {
        let mut decoder = Decoder::new(1_000, &[]);
        for (second, byte) in frame(0x81, b"slowly, slowly").into_iter().enumerate() {
            decoder.feed(&[byte]);
            let told = decoder.next();
            assert_eq!(told, if second <= 10 { Ok(None) } else { Err(Violation::TooSlow) }, "{second}");
            if second > 10 {
                return;
            }
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
    }

    #[test]
    fn control_frames_are_short() {
        assert_eq!(&close(None, "x")[..], [0x88, 0]);
        assert_eq!(&close(Some(1000), "x")[..], [0x88, 3, 3, 232, b'x']);
        let long = close(Some(1000), &"안".repeat(100));
        assert_eq!((long.len(), long[1]), (2 + 2 + 123, 125));
        assert_eq!(&pong(b"p")[..], [0x8a, 1, b'p']);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_in_breaks_it(bytes: Vec<u8>, cut in 0..64_usize) {
            let cut = cut.min(bytes.len());
            let mut decoder = Decoder::new(1_000, &bytes[..cut]);
            let mut said = read(&mut decoder);
            if said.iter().all(Result::is_ok) {
                decoder.feed(&bytes[cut..]);
                said.extend(read(&mut decoder));
            }
            prop_assert_eq!(said, all(&bytes), "in one piece or in two");
        }

        #[test]
        fn texts_survive_however_they_are_cut(texts in prop::collection::vec(".{0,200}", 1..8), size in 1..50_usize) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect();
            let mut decoder = Decoder::new(1_000, &[]);
            let mut said = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.feed(piece);
                said.extend(read(&mut decoder));
            }
            prop_assert_eq!(said, texts.into_iter().map(Ok).collect::<Vec<_>>());
        }
    }
}
