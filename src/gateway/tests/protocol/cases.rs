//! The cases, by the sections of the RFC: what a client sends, what it has to receive, and how the
//! connection ends.
use super::{BINARY, CLOSE, PING, PONG, Reply, TEXT, frame, whole};
use crate::gateway::limits::MAX_FRAME_BYTES;

/// How a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It stays open: it answers a ping, and then a close with 1000.
    StaysOpen,
    /// The client closed and gets this code back. `None` if there is no code.
    Closed(Option<u16>),
    /// The server closes with this code.
    Fails(Option<u16>),
    /// The client ended its direction without a close; the server ends the other direction.
    HalfClosed,
}

/// One connection.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) sends: Vec<Vec<u8>>,
    /// What has to be received before the end.
    pub(super) expected: Vec<Reply>,
    pub(super) end: End,
    /// Each byte is written separately.
    pub(super) chopped: bool,
}

fn case(name: impl Into<String>, sends: impl Into<Vec<Vec<u8>>>, expected: impl Into<Vec<Reply>>, end: End) -> Case {
    Case { name: name.into(), sends: sends.into(), expected: expected.into(), end, chopped: false }
}

fn fails(name: impl Into<String>, code: u16, sends: impl Into<Vec<Vec<u8>>>) -> Case {
    case(name, sends, [], End::Fails(Some(code)))
}

fn chopped(mut case: Case) -> Case {
    case.name.push_str(", byte by byte");
    case.chopped = true;
    case
}

/// Returns a frame with this first byte.
fn bits(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, payload.as_ref(), Some([0xde, 0xad, 0xbe, 0xef]))
}

/// The first, a middle and the last frame of a fragmented message.
fn begins(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    bits(opcode, payload)
}
fn goes_on(payload: impl AsRef<[u8]>) -> Vec<u8> {
    bits(0, payload)
}
fn ends(payload: impl AsRef<[u8]>) -> Vec<u8> {
    bits(0x80, payload)
}

fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    whole(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// Returns a request that is answered, also before hello.
fn request(id: u64) -> String {
    format!(r#"{{"id":{id},"type":"ping"}}"#)
}
fn answer_to(id: u64) -> Reply {
    Reply::Answer(Some(id))
}
fn pong(payload: impl AsRef<[u8]>) -> Reply {
    Reply::Pong(payload.as_ref().to_vec())
}

/// Returns a request of exactly this many bytes.
fn request_of(bytes: usize) -> String {
    let shell = r#"{"id":1,"type":""}"#.len();
    format!(r#"{{"id":1,"type":"{}"}}"#, "x".repeat(bytes - shell))
}

/// Returns a request with these bytes as its type.
fn named(bytes: &[u8]) -> Vec<u8> {
    [br#"{"id":1,"type":""#, bytes, br#""}"#].concat()
}

/// Returns all cases.
pub(super) fn cases() -> Vec<Case> {
    let mut all = messages();
    all.extend(pings());
    all.extend(fragments());
    all.extend(reserved());
    all.extend(utf8());
    all.extend(closes());
    all.extend(half_closes());
    all
}

fn messages() -> Vec<Case> {
    let mut all = vec![
        case("an empty text", [whole(TEXT, "")], [Reply::Answer(None)], End::StaysOpen),
        case("a text", [whole(TEXT, request(1))], [answer_to(1)], End::StaysOpen),
        chopped(case("a text", [whole(TEXT, request(1))], [answer_to(1)], End::StaysOpen)),
        case(
            "two texts in one write",
            [[whole(TEXT, request(1)), whole(TEXT, request(2))].concat()],
            [answer_to(1), answer_to(2)],
            End::StaysOpen,
        ),
        case("an empty binary", [whole(BINARY, "")], [Reply::Answer(None)], End::StaysOpen),
        case("a binary, of JSON even", [whole(BINARY, request(1))], [Reply::Answer(None)], End::StaysOpen),
        fails("a binary above the limit", 1009, [whole(BINARY, vec![7; MAX_FRAME_BYTES + 1])]),
        fails("a length of 2^62", 1009, [vec![0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]]),
        case("a mask of zeros", [frame(0x81, request(1).as_bytes(), Some([0; 4]))], [answer_to(1)], End::StaysOpen),
        fails("a text without a mask", 1002, [frame(0x81, request(1).as_bytes(), None)]),
        fails("a ping without a mask", 1002, [frame(0x89, b"", None)]),
        fails("a close without a mask", 1002, [frame(0x88, &1000_u16.to_be_bytes(), None)]),
    ];
    for bytes in [125, 126, 127, 128, 1_024, MAX_FRAME_BYTES] {
        all.push(case(format!("a text of {bytes}"), [whole(TEXT, request_of(bytes))], [answer_to(1)], End::StaysOpen));
    }
    for bytes in [MAX_FRAME_BYTES + 1, 65_535, 65_536, 300_000] {
        all.push(fails(format!("a text of {bytes}"), 1009, [whole(TEXT, request_of(bytes))]));
    }
    all
}

fn pings() -> Vec<Case> {
    let many: Vec<Vec<u8>> = (0..1_000).map(|n: u32| whole(PING, n.to_be_bytes())).collect();
    let pongs: Vec<Reply> = (0..1_000).map(|n: u32| pong(n.to_be_bytes())).collect();
    vec![
        case("an empty ping", [whole(PING, "")], [pong("")], End::StaysOpen),
        case("a ping of text", [whole(PING, "hello")], [pong("hello")], End::StaysOpen),
        case(
            "a ping that is no UTF-8",
            [whole(PING, [0xff, 0xfe, 0, 0xfb])],
            [pong([0xff, 0xfe, 0, 0xfb])],
            End::StaysOpen,
        ),
        case("a ping of 125", [whole(PING, [9; 125])], [pong([9; 125])], End::StaysOpen),
        chopped(case("a ping of 125", [whole(PING, [9; 125])], [pong([9; 125])], End::StaysOpen)),
        fails("a ping of 126", 1002, [whole(PING, [9; 126])]),
        case("a pong that nobody asked for", [whole(PONG, "")], [], End::StaysOpen),
        case("a pong with a payload", [whole(PONG, "unasked")], [], End::StaysOpen),
        fails("a pong of 126", 1002, [whole(PONG, [9; 126])]),
        case("a pong, then a ping", [whole(PONG, "x"), whole(PING, "y")], [pong("y")], End::StaysOpen),
        case("a flood of pings", many.clone(), pongs.clone(), End::StaysOpen),
        case("a flood of pings in one write", [many.concat()], pongs, End::StaysOpen),
        case("a flood of pongs", vec![whole(PONG, "z"); 1_000], [], End::StaysOpen),
    ]
}

fn fragments() -> Vec<Case> {
    let text = request(1);
    let (head, tail) = text.split_at(9);
    let single: Vec<Vec<u8>> = text.bytes().skip(1).map(|byte| goes_on([byte])).collect();
    let single = [vec![begins(TEXT, &text[..1])], single, vec![ends("")]].concat();
    let answer = || [answer_to(1)];
    let endless = [vec![begins(TEXT, "")], vec![goes_on([b'x'; 1_024]); 400]].concat();
    let large =
        [vec![begins(TEXT, "")], vec![goes_on([b'x'; 1_024]); MAX_FRAME_BYTES / 1_024], vec![ends("x")]].concat();
    vec![
        case("a text in two", [begins(TEXT, head), ends(tail)], answer(), End::StaysOpen),
        case("a text in two, in one write", [[begins(TEXT, head), ends(tail)].concat()], answer(), End::StaysOpen),
        chopped(case("a text in two", [begins(TEXT, head), ends(tail)], answer(), End::StaysOpen)),
        case(
            "empty fragments around and between",
            [begins(TEXT, ""), goes_on(head), goes_on(""), goes_on(tail), ends("")],
            answer(),
            End::StaysOpen,
        ),
        case(
            "nothing, in three fragments",
            [begins(TEXT, ""), goes_on(""), ends("")],
            [Reply::Answer(None)],
            End::StaysOpen,
        ),
        case("each byte a fragment", single, answer(), End::StaysOpen),
        case(
            "a ping between",
            [begins(TEXT, head), whole(PING, "p"), ends(tail)],
            [pong("p"), answer_to(1)],
            End::StaysOpen,
        ),
        chopped(case(
            "a ping between",
            [begins(TEXT, head), whole(PING, "p"), ends(tail)],
            [pong("p"), answer_to(1)],
            End::StaysOpen,
        )),
        case(
            "two pings and a pong between",
            [begins(TEXT, head), whole(PING, "p"), whole(PONG, "x"), goes_on(""), whole(PING, "q"), ends(tail)],
            [pong("p"), pong("q"), answer_to(1)],
            End::StaysOpen,
        ),
        case("a binary in two", [begins(BINARY, [1]), ends([2])], [Reply::Answer(None)], End::StaysOpen),
        case("a close between", [begins(TEXT, head), close(1000, "")], [], End::Closed(Some(1000))),
        fails("a ping in two", 1002, [bits(PING, "p"), ends("q")]),
        fails("a pong in two", 1002, [bits(PONG, "p"), ends("q")]),
        fails("a close in two", 1002, [bits(CLOSE, 1000_u16.to_be_bytes()), ends("")]),
        fails("a last fragment of nothing", 1002, [ends(tail)]),
        fails("a middle fragment of nothing", 1002, [goes_on(tail), ends("")]),
        case(
            "a fragment after the last one",
            [begins(TEXT, head), ends(tail), goes_on("x")],
            answer(),
            End::Fails(Some(1002)),
        ),
        fails("a text inside a text", 1002, [begins(TEXT, head), whole(TEXT, tail)]),
        fails("a binary inside a text", 1002, [begins(TEXT, head), whole(BINARY, tail)]),
        fails("a text that begins inside a text", 1002, [begins(TEXT, head), begins(TEXT, tail)]),
        fails("above the limit in fragments", 1009, large),
        fails("fragments without end", 1009, endless),
    ]
}

fn reserved() -> Vec<Case> {
    let mut all = vec![
        case(
            "a reserved bit after a text",
            [whole(TEXT, request(1)), bits(0xc1, request(2))],
            [answer_to(1)],
            End::Fails(Some(1002)),
        ),
        fails("a reserved bit in a fragment", 1002, [begins(TEXT, "{"), bits(0xa0, "}")]),
        fails("a reserved bit in a ping", 1002, [bits(0x99, "")]),
        fails("a reserved bit in a close", 1002, [bits(0xc8, 1000_u16.to_be_bytes())]),
        chopped(fails("a reserved bit", 1002, [bits(0xc1, request(1))])),
    ];
    for rsv in 1..=7 {
        all.push(fails(format!("reserved bits {rsv:03b}"), 1002, [bits(0x81 | (rsv << 4), request(1))]));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        all.push(fails(format!("opcode {opcode}"), 1002, [whole(opcode, "")]));
        all.push(case(
            format!("opcode {opcode} after a text"),
            [whole(TEXT, request(1)), whole(opcode, "x")],
            [answer_to(1)],
            End::Fails(Some(1002)),
        ));
    }
    all
}

fn utf8() -> Vec<Case> {
    let good = named("κόσμε 한글 😀 \u{ffff}\u{10ffff}".as_bytes());
    let at = |needle: &[u8]| good.windows(needle.len()).position(|part| part == needle).unwrap();
    let smile = at("😀".as_bytes());
    let answer = || [answer_to(1)];
    let split = |at: usize| [begins(TEXT, &good[..at]), ends(&good[at..])];
    let mut all = vec![
        case("every length of code point", [whole(TEXT, &good)], answer(), End::StaysOpen),
        chopped(case("every length of code point", [whole(TEXT, &good)], answer(), End::StaysOpen)),
        case("split at a border", split(smile), answer(), End::StaysOpen),
        case("a NUL, which is no JSON", [whole(TEXT, named(b"\0"))], [Reply::Answer(None)], End::StaysOpen),
        fails("a code point cut off at the end", 1007, [whole(TEXT, &good[..smile + 3])]),
        fails("a code point cut off before the last fragment", 1007, [begins(TEXT, &good[..smile + 2]), ends("")]),
        fails("a bad second fragment", 1007, [begins(TEXT, &good[..smile + 2]), ends([0xff])]),
        // Refused at once: nothing that follows could make it valid.
        fails("a bad first fragment, and no other", 1007, [begins(TEXT, [b'x', 0xc0, 0xaf])]),
        chopped(fails("bad", 1007, [whole(TEXT, named(&[0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xed, 0xa0, 0x80]))])),
    ];
    for inside in 1..4 {
        all.push(case(format!("split inside a code point, {inside}"), split(smile + inside), answer(), End::StaysOpen));
    }
    for (name, bytes) in [
        ("a lone continuation", &[0x80][..]),
        ("a byte that never occurs", &[0xff]),
        ("two bytes that are one too many", &[0xc0, 0xaf]),
        ("three bytes that are one too many", &[0xe0, 0x80, 0xaf]),
        ("four bytes that are one too many", &[0xf0, 0x80, 0x80, 0xaf]),
        ("half a surrogate pair", &[0xed, 0xa0, 0x80]),
        ("a whole surrogate pair", &[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
        ("above U+10FFFF", &[0xf4, 0x90, 0x80, 0x80]),
        ("five bytes", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
        ("a code point that does not go on", &[0xe2, 0x82, b'x']),
    ] {
        all.push(fails(name, 1007, [whole(TEXT, named(bytes))]));
    }
    all
}

fn closes() -> Vec<Case> {
    let closed = |name: &str, code: u16, sends: Vec<Vec<u8>>| case(name, sends, [], End::Closed(Some(code)));
    let mut all = vec![
        case("an empty close", [whole(CLOSE, "")], [], End::Closed(None)),
        chopped(closed("a close", 1000, vec![close(1000, "bye")])),
        closed("a reason of 123", 1000, vec![close(1000, "r".repeat(123))]),
        closed("a reason in Korean", 1000, vec![close(1000, "안녕히")]),
        fails("a close of one byte", 1002, [whole(CLOSE, [3])]),
        fails("a reason of 124", 1002, [close(1000, "r".repeat(124))]),
        fails("a reason that is no UTF-8", 1007, [close(1000, [0xce, 0xba, 0xed, 0xa0, 0x80])]),
        case(
            "a text, then a close",
            [[whole(TEXT, request(1)), close(1000, "")].concat()],
            [answer_to(1)],
            End::Closed(Some(1000)),
        ),
        case(
            "a ping, then a close",
            [[whole(PING, "p"), close(1000, "")].concat()],
            [pong("p")],
            End::Closed(Some(1000)),
        ),
        closed("two closes", 1000, vec![close(1000, ""), close(1001, "")]),
        closed("a text after the close", 1000, vec![close(1000, ""), whole(TEXT, request(1))]),
        closed("a ping after the close", 1000, vec![close(1000, ""), whole(PING, "p")]),
        closed("nonsense after the close", 1000, vec![close(1000, ""), vec![0xff; 100_000]]),
        fails("much after a failure", 1002, [whole(3, ""), vec![0; 200_000]]),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] {
        all.push(closed(&format!("code {code}"), code, vec![close(code, "")]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        all.push(closed(&format!("code {code}, which nobody may send"), 1002, vec![close(code, "")]));
    }
    all
}

fn half_closes() -> Vec<Case> {
    let half = |name: &str, sends: Vec<Vec<u8>>, expected: Vec<Reply>| case(name, sends, expected, End::HalfClosed);
    vec![
        half("nothing is sent", vec![], vec![]),
        half("after a text", vec![whole(TEXT, request(1))], vec![answer_to(1)]),
        half("inside a head", vec![vec![0x81]], vec![]),
        half("inside a payload", vec![whole(TEXT, request(1))[..12].to_vec()], vec![]),
        half("between fragments", vec![begins(TEXT, "{")], vec![]),
    ]
}
