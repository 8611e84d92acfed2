//! The frames of RFC 6455 as a server reads and writes them. Holds no memory for a client that is
//! between two messages.
//!
//! Why this is not a library: docs/decisions/0007-our-own-websocket-frames.md.
use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use tokio::time::Instant;

use super::limits::{MAX_FRAGMENTS, MAX_FRAME_BYTES, MESSAGE_TIMEOUT};
use crate::realtime::CloseCode;

/// Bytes of a control frame's payload (RFC 6455, 5.5).
const MAX_CONTROL_BYTES: usize = 125;

/// How a client violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// A frame is malformed or not masked.
    Protocol(&'static str),
    /// A text is not valid UTF-8.
    NotText,
    /// A message has too many bytes.
    TooLarge,
    /// A message has too many fragments.
    TooManyFragments,
    /// A message was not complete in time.
    TooSlow,
}

/// What was decoded from the client's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A complete text message. [`Decoder::text`] returns it until the next call of
    /// [`Decoder::next`].
    Text,
    /// A complete binary message.
    Binary,
    /// A fragment of a message that is not complete. It is returned so that it can be counted.
    Fragment,
    Ping(Bytes),
    Pong,
    /// A close with its code. `None` if it has no code.
    Close(Option<u16>),
}

/// The reading half: takes bytes as they arrive and returns one message after the other.
pub(super) struct Decoder {
    max_message_bytes: usize,
    /// The bytes that have arrived. Everything before `start` is consumed.
    bytes: Vec<u8>,
    start: usize,
    /// Where the last unfragmented message lies in `bytes`. `None` if the last message came in
    /// fragments: it is all of `message`.
    payload: Option<Range<usize>>,
    /// The payloads of the fragments so far.
    message: Vec<u8>,
    fragmented: Option<Fragmented>,
    /// Since when a frame or a message has been incomplete.
    incomplete_since: Option<Instant>,
}

/// A message that is arriving in fragments.
struct Fragmented {
    is_text: bool,
    fragments: usize,
}

/// The header of a frame.
struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Where the frame's payload lies in `bytes`.
    payload: Range<usize>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Decoder {
    /// Creates a decoder of messages of at most `max_message_bytes`. `read` is what was read after
    /// the handshake.
    pub(super) fn new(max_message_bytes: usize, read: &[u8]) -> Self {
        Self {
            max_message_bytes,
            bytes: read.to_vec(),
            start: 0,
            payload: None,
            message: Vec::new(),
            fragmented: None,
            incomplete_since: None,
        }
    }

    /// Adds bytes that arrived. Call [`Decoder::next`] until it returns `None` before adding more.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the text of the message that [`Decoder::next`] has just returned.
    ///
    /// # Errors
    /// [`Violation::NotText`] if it is not valid UTF-8.
    pub(super) fn text(&self) -> Result<&str, Violation> {
        let payload = match &self.payload {
            Some(range) => &self.bytes[range.clone()],
            None => &self.message[..],
        };
        std::str::from_utf8(payload).map_err(|_| Violation::NotText)
    }

    /// Returns the next message, control frame or fragment. `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Violation`] if the client violated the protocol or a limit.
    pub(super) fn next(&mut self) -> Result<Option<Decoded>, Violation> {
        if self.fragmented.is_none() && !self.message.is_empty() {
            self.message = Vec::new(); // the last text has been read
        }
        if let Some(header) = self.header()? {
            let Range { start, end } = header.payload;
            unmask(&mut self.bytes[start..end], header.mask);
            self.start = end;
            let decoded = if header.opcode >= CLOSE { self.control(&header)? } else { self.data(&header)? };
            if self.fragmented.is_none() {
                self.incomplete_since = None;
            }
            return Ok(Some(decoded));
        }
        if self.start == self.bytes.len() {
            (self.bytes, self.start) = (Vec::new(), 0);
        }
        if self.bytes.is_empty() && self.fragmented.is_none() {
            self.incomplete_since = None;
        } else if self.incomplete_since.get_or_insert_with(Instant::now).elapsed() > MESSAGE_TIMEOUT {
            return Err(Violation::TooSlow);
        }
        Ok(None)
    }

    /// Returns the header of the frame at `start`. `None` until the whole frame has arrived.
    fn header(&self) -> Result<Option<Header>, Violation> {
        let bytes = &self.bytes[self.start..];
        let &[first, second, ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("reserved bits are set"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("a client has to mask its frames"));
        }
        match opcode {
            CONTINUATION if self.fragmented.is_none() => {
                return Err(Violation::Protocol("a continuation without a message"));
            }
            TEXT | BINARY if self.fragmented.is_some() => {
                return Err(Violation::Protocol("a message between the fragments of another"));
            }
            CLOSE..=PONG if !fin || usize::from(second & 0x7f) > MAX_CONTROL_BYTES => {
                return Err(Violation::Protocol("a control frame is fragmented or too long"));
            }
            CONTINUATION..=BINARY | CLOSE..=PONG => {}
            _ => return Err(Violation::Protocol("an unknown opcode")),
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
        // Refused by its declared length, before the bytes arrive. A control frame between
        // fragments does not count as part of the message.
        let available = if opcode >= CLOSE { MAX_CONTROL_BYTES } else { self.max_message_bytes - self.message.len() };
        let length = usize::try_from(length).ok().filter(|length| *length <= available);
        let Some(length) = length else { return Err(Violation::TooLarge) };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.bytes.len() - rest.len();
        Ok(Some(Header { fin, opcode, mask: *mask, payload: start..start + length }))
    }

    /// Handles a data frame: a whole message, or a fragment of one.
    fn data(&mut self, header: &Header) -> Result<Decoded, Violation> {
        if header.fin && self.fragmented.is_none() {
            self.payload = Some(header.payload.clone());
            return Ok(if header.opcode == TEXT { Decoded::Text } else { Decoded::Binary });
        }
        self.message.extend_from_slice(&self.bytes[header.payload.clone()]);
        let fragmented = self.fragmented.get_or_insert(Fragmented { is_text: header.opcode == TEXT, fragments: 0 });
        fragmented.fragments += 1;
        let is_cut = |error: std::str::Utf8Error| error.error_len().is_none(); // ends within a character
        if fragmented.is_text && !std::str::from_utf8(&self.message).map_or_else(is_cut, |_| true) {
            return Err(Violation::NotText);
        }
        if !header.fin {
            let is_too_many = fragmented.fragments >= MAX_FRAGMENTS;
            return if is_too_many { Err(Violation::TooManyFragments) } else { Ok(Decoded::Fragment) };
        }
        let decoded = if fragmented.is_text { Decoded::Text } else { Decoded::Binary };
        (self.fragmented, self.payload) = (None, None);
        Ok(decoded)
    }

    fn control(&self, header: &Header) -> Result<Decoded, Violation> {
        let payload = &self.bytes[header.payload.clone()];
        Ok(match header.opcode {
            PING => Decoded::Ping(Bytes::copy_from_slice(payload)),
            PONG => Decoded::Pong,
            _ => Decoded::Close(match payload.split_first_chunk::<2>() {
                None if payload.is_empty() => None,
                None => return Err(Violation::Protocol("a close code of one byte")),
                Some((code, reason)) => {
                    let code = u16::from_be_bytes(*code);
                    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                        return Err(Violation::Protocol("an invalid close code"));
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
    /// Returns the close code.
    pub(super) fn code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::NotText => CloseCode::NotText,
            Self::TooLarge => CloseCode::TooLarge,
            Self::TooManyFragments => CloseCode::BadFrame,
            Self::TooSlow => CloseCode::TooSlow,
        }
    }

    /// Returns the reason that goes with the close code.
    pub(super) fn reason(self) -> Cow<'static, str> {
        match self {
            Self::Protocol(why) => why.into(),
            Self::NotText => "a text is not valid UTF-8".into(),
            Self::TooLarge => format!("a message has at most {} KiB", MAX_FRAME_BYTES / 1024).into(),
            Self::TooManyFragments => format!("a message has at most {MAX_FRAGMENTS} fragments").into(),
            Self::TooSlow => format!("a message has to be complete within {} s", MESSAGE_TIMEOUT.as_secs()).into(),
        }
    }
}

/// Returns a ping of the server.
pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[0x80 | PING, 0])
}

/// Returns the answer to a ping with its payload.
pub(super) fn pong(payload: &[u8]) -> Bytes {
    control(PONG, payload)
}

/// Returns a close frame. A reason that is too long is cut between two characters.
pub(super) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(CLOSE, &[]) };
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(MAX_CONTROL_BYTES - 2)]);
    control(CLOSE, &payload)
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let length = payload.len().min(MAX_CONTROL_BYTES);
    let mut bytes = vec![0x80 | opcode, u8::try_from(length).unwrap_or_default()];
    bytes.extend_from_slice(&payload[..length]);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Decoded, Decoder, Violation, close, pong};

    /// Returns a client's frame with this first byte.
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
        let mut decoded = Vec::new();
        loop {
            match decoder.next() {
                Ok(None) => return decoded,
                Ok(Some(Decoded::Fragment)) => {}
                Ok(Some(Decoded::Text)) => decoded.push(decoder.text().map(str::to_owned)),
                Ok(Some(other)) => decoded.push(Ok(format!("{other:?}"))),
                Err(why) => {
                    decoded.push(Err(why));
                    return decoded;
                }
            }
        }
    }

    fn all(bytes: &[u8]) -> Vec<Result<String, Violation>> {
        read(&mut Decoder::new(1_000, bytes))
    }

    #[test]
    fn a_message_can_come_in_fragments_with_control_frames_between() {
        let mut bytes = frame(0x01, "안".as_bytes());
        bytes.extend(frame(0x89, b"p"));
        bytes.extend(frame(0x00, &"녕".as_bytes()[..1]));
        bytes.extend(frame(0x80, &"녕".as_bytes()[1..]));
        bytes.extend(frame(0x81, b"next"));
        bytes.extend(frame(0x88, &[]));
        let expected = ["Ping(b\"p\")", "안녕", "next", "Close(None)"];
        assert_eq!(all(&bytes), expected.map(|text| Ok(text.to_owned())));
        // The same, byte by byte.
        let mut decoder = Decoder::new(1_000, &[]);
        let mut decoded = Vec::new();
        for byte in bytes {
            decoder.feed(&[byte]);
            decoded.extend(read(&mut decoder));
        }
        assert_eq!(decoded, expected.map(|text| Ok(text.to_owned())));
        assert_eq!((decoder.bytes.capacity(), decoder.message.capacity()), (0, 0), "nothing is held between messages");
    }

    #[test]
    fn each_violation_of_the_protocol_is_named() {
        let protocol = |bytes: &[u8]| matches!(all(bytes)[..], [Err(Violation::Protocol(_))]);
        assert!(protocol(&frame(0xc1, b"x")), "a reserved bit");
        assert!(protocol(&frame(0x83, b"x")), "a reserved opcode");
        assert!(protocol(&frame(0x8b, b"x")), "a reserved control frame");
        assert!(protocol(&[0x81, 1, b'x']), "no mask");
        assert!(protocol(&frame(0x80, b"x")), "a continuation without a message");
        assert!(protocol(&[frame(0x01, b"x"), frame(0x81, b"x")].concat()), "a message between fragments");
        assert!(protocol(&frame(0x09, b"x")), "a ping in fragments");
        assert!(protocol(&frame(0x89, &[b'x'; 126])), "a long ping");
        assert!(protocol(&frame(0x88, &[3])), "a close code of one byte");
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert!(protocol(&frame(0x88, &code.to_be_bytes())), "{code}");
        }
        for code in [1000_u16, 1001, 1003, 1007, 1011, 3000, 4999] {
            assert_eq!(all(&frame(0x88, &code.to_be_bytes())), [Ok(format!("Close(Some({code}))"))]);
        }
        assert_eq!(all(&frame(0x88, &[3, 232, 0xff])), [Err(Violation::NotText)]);
        assert_eq!(all(&frame(0x81, &[b'x', 0xff])), [Err(Violation::NotText)]);
        assert_eq!(all(&frame(0x01, &[b'x', 0xff])), [Err(Violation::NotText)], "before the rest has arrived");
        assert_eq!(all(&frame(0x81, &[b'x'; 1_001])[..4]), [Err(Violation::TooLarge)], "by its header alone");
        assert_eq!(all(&[frame(0x01, &[b'x'; 900]), frame(0x80, &[b'x'; 101])].concat()), [Err(Violation::TooLarge)]);
        assert_eq!(all(&[0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255]), [Err(Violation::TooLarge)]);
        let endless: Vec<u8> =
            std::iter::once(frame(0x01, b"")).chain((0..200).map(|_| frame(0x00, b""))).flatten().collect();
        assert_eq!(all(&endless), [Err(Violation::TooManyFragments)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_ten_seconds_to_arrive() {
        let mut decoder = Decoder::new(1_000, &[]);
        for (second, byte) in frame(0x81, b"slowly, slowly").into_iter().enumerate() {
            decoder.feed(&[byte]);
            let decoded = decoder.next();
            assert_eq!(decoded, if second <= 10 { Ok(None) } else { Err(Violation::TooSlow) }, "{second}");
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
        fn any_bytes_are_decoded_alike_in_one_chunk_or_two(bytes: Vec<u8>, cut in 0..64_usize) {
            let cut = cut.min(bytes.len());
            let mut decoder = Decoder::new(1_000, &bytes[..cut]);
            let mut decoded = read(&mut decoder);
            if decoded.iter().all(Result::is_ok) {
                decoder.feed(&bytes[cut..]);
                decoded.extend(read(&mut decoder));
            }
            prop_assert_eq!(decoded, all(&bytes), "in one chunk or in two");
        }

        #[test]
        fn texts_survive_however_their_bytes_are_cut(texts in prop::collection::vec(".{0,200}", 1..8), size in 1..50_usize) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect();
            let mut decoder = Decoder::new(1_000, &[]);
            let mut decoded = Vec::new();
            for chunk in bytes.chunks(size) {
                decoder.feed(chunk);
                decoded.extend(read(&mut decoder));
            }
            prop_assert_eq!(decoded, texts.into_iter().map(Ok).collect::<Vec<_>>());
        }
    }
}
