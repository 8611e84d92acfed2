//! The protocols that the engine can speak. A driver knows the upgrade path and headers, how to
//! join a room and when that is done, how to publish, and which keep-alives to answer.
//!
//! The engine itself recognises deliveries: every data frame that contains `@T<16 hex ns><8 hex
//! sender>`.
use sim::people::People;

/// The opcode of a text frame.
pub const TEXT: u8 = 1;

/// Appends a client's WebSocket frame. Its mask is 0, which is legal and costs the generator
/// nothing.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    if payload.len() < 126 {
        out.push(0x80 | payload.len() as u8);
    } else {
        out.push(0x80 | 126);
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(&[0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

/// A protocol. `id` is the number of a socket, `out` receives what the socket sends.
pub trait Driver {
    /// Returns `false` for lines over plain TCP, without an HTTP upgrade.
    fn is_websocket(&self) -> bool {
        true
    }

    fn path(&self, room: u32, id: u32) -> String;

    fn headers(&self, _id: u32) -> String {
        String::new()
    }

    /// Called after the upgrade. Returns `true` if no answer has to be awaited.
    fn open(&self, room: u32, id: u32, out: &mut Vec<u8>) -> bool;

    /// Called for each frame before the socket has joined. Returns `true` if this frame completes
    /// the join.
    fn joining(&self, step: &mut u8, room: u32, id: u32, payload: &[u8], out: &mut Vec<u8>) -> bool;

    /// Called for each data frame without a delivery after the join (keep-alives of the
    /// application).
    fn other(&self, _payload: &[u8], _out: &mut Vec<u8>) {}

    fn publish(&self, room: u32, id: u32, body: &[u8], out: &mut Vec<u8>);
}

/// The bare TCP server (`rawtcp`).
pub struct Raw;

impl Driver for Raw {
    fn is_websocket(&self) -> bool {
        false
    }

    fn path(&self, _: u32, _: u32) -> String {
        String::new()
    }

    fn open(&self, room: u32, _: u32, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(format!("S{room}\n").as_bytes());
        false
    }

    fn joining(&self, _: &mut u8, _: u32, _: u32, payload: &[u8], _: &mut Vec<u8>) -> bool {
        payload.starts_with(b"OK")
    }

    fn publish(&self, _: u32, _: u32, body: &[u8], out: &mut Vec<u8>) {
        out.push(b'P');
        out.extend_from_slice(body);
        out.push(b'\n');
    }
}

/// The bare WebSocket servers: the room is in the path, and a text frame goes out as it came in.
pub struct Plain {
    pub prefix: String,
    /// `true` if the server begins with a frame `hello`.
    pub hello: bool,
}

impl Driver for Plain {
    fn path(&self, room: u32, _: u32) -> String {
        format!("{}{}", self.prefix, room)
    }

    fn open(&self, _: u32, _: u32, _: &mut Vec<u8>) -> bool {
        !self.hello
    }

    fn joining(&self, _: &mut u8, _: u32, _: u32, payload: &[u8], _: &mut Vec<u8>) -> bool {
        payload.starts_with(b"hello")
    }

    fn publish(&self, _: u32, _: u32, body: &[u8], out: &mut Vec<u8>) {
        write_frame(out, TEXT, body);
    }
}

/// Maju's own protocol (`maju.v1`, docs/WIRE.md).
pub struct Maju {
    pub people: People,
    frame: std::cell::Cell<u64>,
    /// Different in every run, so that no client id comes twice.
    pub salt: u64,
}

impl Maju {
    /// Reads a file of visitors and rooms.
    pub fn read(path: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let salt = since.map_or(0, |since| since.as_nanos() as u64);
        Self { people: People::read(path), frame: std::cell::Cell::new(2), salt }
    }

    fn next(&self) -> u64 {
        self.frame.set(self.frame.get() + 1);
        self.frame.get()
    }

    fn room(&self, room: u32) -> &str {
        &self.people.rooms[room as usize % self.people.rooms.len()]
    }
}

impl Driver for Maju {
    fn path(&self, _: u32, _: u32) -> String {
        "/ws".into()
    }

    fn headers(&self, id: u32) -> String {
        let cookie = &self.people.cookies[id as usize % self.people.cookies.len()];
        format!("Origin: {}\r\nSec-WebSocket-Protocol: maju.v1\r\nCookie: {cookie}\r\n", self.people.origin)
    }

    fn open(&self, _: u32, _: u32, out: &mut Vec<u8>) -> bool {
        write_frame(out, TEXT, br#"{"id":1,"type":"hello"}"#);
        false
    }

    fn joining(&self, step: &mut u8, room: u32, _: u32, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let has = |part: &[u8]| memchr::memmem::find(payload, part).is_some();
        if has(b"\"error\"") {
            eprintln!("join: {}", String::from_utf8_lossy(payload));
        }
        if *step == 0 && has(b"\"re\":1") {
            *step = 1;
            let join = format!(r#"{{"id":2,"type":"join","room":"{}"}}"#, self.room(room));
            write_frame(out, TEXT, join.as_bytes());
            return false;
        }
        *step == 1 && has(b"\"re\":2")
    }

    fn publish(&self, room: u32, id: u32, body: &[u8], out: &mut Vec<u8>) {
        let (n, room, text) = (self.next(), self.room(room), String::from_utf8_lossy(body));
        // Random, as those of the web client: with ids in order, Postgres's index of client ids
        // would stay in the processor's cache.
        let (high, low) = (mixed(self.salt ^ n), mixed(self.salt.rotate_left(32) ^ n ^ u64::from(id) << 48));
        let client_id = format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        );
        let frame = format!(
            r#"{{"id":{n},"type":"send","room":"{room}","client_id":"{client_id}","payload":{{"kind":"text","text":"{text}"}}}}"#
        );
        write_frame(out, TEXT, frame.as_bytes());
    }
}

/// Returns a number whose bits are mixed (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Makes a driver by its name. `arg` is the file of visitors for `maju` and the path for bare
/// servers.
///
/// # Errors
/// If there is no such driver.
pub fn make(name: &str, arg: &str) -> Result<Box<dyn Driver>, String> {
    let prefix = if arg.is_empty() { "/ws/".to_owned() } else { arg.to_owned() };
    Ok(match name {
        "raw" => Box::new(Raw),
        "plain" => Box::new(Plain { prefix, hello: false }),
        "hello" => Box::new(Plain { prefix, hello: true }),
        "maju" => Box::new(Maju::read(arg)),
        _ => return Err(format!("there is no driver {name:?}: raw, plain, hello or maju")),
    })
}
