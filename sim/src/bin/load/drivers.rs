//! One driver per peer protocol.  A driver only knows: the upgrade path and headers, what to send
//! to join a room, how to tell that the join is done, how to publish, and which keep-alives to answer.
//! Deliveries are recognised by the engine: any data frame holding "@T<16 hex ns><8 hex sender>".

/// Append one client WebSocket frame (mask key 0: legal, and costs the generator nothing).
pub fn wsf(out: &mut Vec<u8>, op: u8, p: &[u8]) {
    out.push(0x80 | op);
    if p.len() < 126 {
        out.push(0x80 | p.len() as u8);
    } else {
        out.push(0x80 | 126);
        out.extend_from_slice(&(p.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(&[0, 0, 0, 0]);
    out.extend_from_slice(p);
}

pub trait Driver {
    /// false: plain TCP, no HTTP upgrade, newline-framed
    fn ws(&self) -> bool {
        true
    }
    fn path(&self, room: u32, id: u32) -> String;
    fn headers(&self, _id: u32) -> String {
        String::new()
    }
    /// after the upgrade; true when no answer has to be awaited
    fn open(&self, room: u32, id: u32, out: &mut Vec<u8>) -> bool;
    /// a frame before the join is done; true when this frame completes the join
    fn joining(&self, st: &mut u8, room: u32, id: u32, p: &[u8], out: &mut Vec<u8>) -> bool;
    /// a data frame without a delivery, after the join (application keep-alives)
    fn other(&self, _p: &[u8], _out: &mut Vec<u8>) {}
    fn publish(&self, room: u32, id: u32, body: &[u8], out: &mut Vec<u8>);
}

pub struct Raw;
impl Driver for Raw {
    fn ws(&self) -> bool {
        false
    }
    fn path(&self, _: u32, _: u32) -> String {
        String::new()
    }
    fn open(&self, room: u32, _: u32, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(format!("S{room}\n").as_bytes());
        false
    }
    fn joining(&self, _: &mut u8, _: u32, _: u32, p: &[u8], _: &mut Vec<u8>) -> bool {
        p.starts_with(b"OK")
    }
    fn publish(&self, _: u32, _: u32, body: &[u8], out: &mut Vec<u8>) {
        out.push(b'P');
        out.extend_from_slice(body);
        out.push(b'\n');
    }
}

/// axum / uWebSockets / nchan style: the room is in the path, text frame in = text frame out.
pub struct Plain {
    pub prefix: String,
    pub hello: bool,
}
impl Driver for Plain {
    fn path(&self, room: u32, _: u32) -> String {
        format!("{}{}", self.prefix, room)
    }
    fn open(&self, _: u32, _: u32, _: &mut Vec<u8>) -> bool {
        !self.hello
    }
    fn joining(&self, _: &mut u8, _: u32, _: u32, p: &[u8], _: &mut Vec<u8>) -> bool {
        p.starts_with(b"hello")
    }
    fn publish(&self, _: u32, _: u32, body: &[u8], out: &mut Vec<u8>) {
        wsf(out, 1, body)
    }
}

/// `maju.v1` (WIRE.md). `arg` is a file made by prepare.py: first line the site's origin, then `V cookie` and `R room` lines.
pub struct Maju {
    pub origin: String,
    pub cookies: Vec<String>,
    pub rooms: Vec<String>,
    pub frame: std::cell::Cell<u64>,
    pub salt: u64,
}
impl Maju {
    pub fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(path).expect("prepare.py's file");
        let mut lines = text.lines();
        let origin = lines.next().unwrap().to_string();
        let (mut cookies, mut rooms) = (Vec::new(), Vec::new());
        for l in lines {
            if let Some(v) = l.strip_prefix("V ") {
                cookies.push(v.to_string())
            }
            if let Some(r) = l.strip_prefix("R ") {
                rooms.push(r.to_string())
            }
        }
        let salt = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        Maju { origin, cookies, rooms, frame: std::cell::Cell::new(2), salt }
    }
    fn next(&self) -> u64 {
        self.frame.set(self.frame.get() + 1);
        self.frame.get()
    }
}
impl Driver for Maju {
    fn path(&self, _: u32, _: u32) -> String {
        "/ws".into()
    }
    fn headers(&self, id: u32) -> String {
        format!(
            "Origin: {}\r\nSec-WebSocket-Protocol: maju.v1\r\nCookie: {}\r\n",
            self.origin,
            self.cookies[id as usize % self.cookies.len()]
        )
    }
    fn open(&self, _: u32, _: u32, out: &mut Vec<u8>) -> bool {
        wsf(out, 1, b"{\"id\":1,\"type\":\"hello\"}");
        false
    }
    fn joining(&self, st: &mut u8, room: u32, _: u32, p: &[u8], out: &mut Vec<u8>) -> bool {
        let has = |s: &[u8]| memchr::memmem::find(p, s).is_some();
        if has(b"\"error\"") {
            eprintln!("join: {}", String::from_utf8_lossy(p))
        }
        if *st == 0 && has(b"\"re\":1") | has(b"\"re\": 1") {
            *st = 1;
            wsf(
                out,
                1,
                format!("{{\"id\":2,\"type\":\"join\",\"room\":\"{}\"}}", self.rooms[room as usize % self.rooms.len()])
                    .as_bytes(),
            );
            return false;
        }
        *st == 1 && (has(b"\"re\":2") || has(b"\"re\": 2"))
    }
    fn publish(&self, room: u32, id: u32, body: &[u8], out: &mut Vec<u8>) {
        let n = self.next();
        let b = std::str::from_utf8(body).unwrap();
        // Random, as the page's are: ids in order would find the index of client ids in the processor's cache.
        let (high, low) = (mixed(self.salt ^ n), mixed(self.salt.rotate_left(32) ^ n ^ u64::from(id) << 48));
        wsf(out, 1, format!("{{\"id\":{n},\"type\":\"send\",\"room\":\"{}\",\"client_id\":\"{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}\",\"payload\":{{\"kind\":\"text\",\"text\":\"{b}\"}}}}",
            self.rooms[room as usize % self.rooms.len()], high >> 32, (high >> 16) & 0xffff, high & 0xfff, low >> 52, low & 0xffff_ffff_ffff).as_bytes());
    }
}

/// A number spread over all bits (the finalizer of SplitMix64).
fn mixed(of: u64) -> u64 {
    let of = (of ^ (of >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let of = (of ^ (of >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    of ^ (of >> 31)
}

pub fn make(name: &str, arg: &str) -> Box<dyn Driver> {
    match name {
        "raw" => Box::new(Raw),
        "plain" => Box::new(Plain { prefix: if arg.is_empty() { "/ws/".into() } else { arg.into() }, hello: false }),
        "hello" => Box::new(Plain { prefix: if arg.is_empty() { "/ws/".into() } else { arg.into() }, hello: true }),
        "maju" => Box::new(Maju::read(arg)),
        _ => panic!("no driver {name}"),
    }
}
