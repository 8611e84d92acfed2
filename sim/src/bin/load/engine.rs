//! The engine: opens sockets, publishes messages and measures their deliveries.
use sim::sys::{self, Event, Poll, now};

use crate::drivers::{Driver, TEXT, write_frame};
use crate::histogram::Histogram;

/// The opcodes of a WebSocket's control frames.
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// What a delivery is recognised by. After it come the time of sending and the sender, in
/// hexadecimal.
const MARK: &[u8] = b"@T";
const TIME_DIGITS: usize = 16;
const SENDER_DIGITS: usize = 8;
/// Bytes of a message's text.
const BODY_BYTES: usize = 100;
/// Sockets that are being opened at once.
const OPENING: usize = 128;
/// No socket opens for so long: the rest will not either. Nanoseconds.
const OPEN_STALL_NS: u64 = 15_000_000_000;
/// Bytes that are read at once, and the most that an empty output buffer keeps.
const READ_BYTES: usize = 256 << 10;
const KEPT_BYTES: usize = 512;

/// Where a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Connecting,
    Upgrading,
    Joining,
    Ready,
    Dead,
}

/// One socket.
pub struct Socket {
    pub fd: i32,
    pub room: u32,
    pub state: State,
    /// How far the driver's join is.
    step: u8,
    /// The beginning of a frame that has not arrived whole.
    rest: Vec<u8>,
    out: Vec<u8>,
    pub sent_at: u64,
}

/// All sockets, and what was measured since the last reset.
pub struct Engine {
    poll: Poll,
    pub sockets: Vec<Socket>,
    pub driver: Box<dyn Driver>,
    pub addresses: Vec<(u32, u16)>,
    /// How many sockets in a row connect to one address.
    pub row: usize,
    read_buffer: Vec<u8>,
    pub ready: usize,
    pub dead: usize,
    pub histogram: Histogram,
    pub deliveries: u64,
    /// Deliveries to the sender itself.
    pub echoes: u64,
    /// Senders whose messages have been delivered; kept only if `collect`.
    pub delivered_senders: Vec<u32>,
    pub collect: bool,
    pub sent: u64,
    /// Deliveries to this socket and later ones are not counted.
    pub counted: usize,
    pub first_error: Option<String>,
    reply: Vec<u8>,
}

/// Reads `127.0.0.1:8080`.
///
/// # Errors
/// If it is not an address of loopback with a port.
pub fn parse_address(text: &str) -> Result<(u32, u16), String> {
    let address: std::net::SocketAddrV4 = text.parse().map_err(|why| format!("{text}: {why}"))?;
    if !address.ip().is_loopback() {
        return Err(format!("{text} is not an address of loopback"));
    }
    Ok((u32::from_ne_bytes(address.ip().octets()), address.port()))
}

impl Engine {
    pub fn new(driver: Box<dyn Driver>, addresses: Vec<(u32, u16)>, row: usize) -> Self {
        Self {
            poll: Poll::default(),
            sockets: Vec::new(),
            driver,
            addresses,
            row,
            read_buffer: vec![0; READ_BYTES],
            ready: 0,
            dead: 0,
            histogram: Histogram::new(),
            deliveries: 0,
            echoes: 0,
            delivered_senders: Vec::new(),
            collect: false,
            sent: 0,
            counted: usize::MAX,
            first_error: None,
            reply: Vec::new(),
        }
    }

    /// Forgets what was measured.
    pub fn reset(&mut self) {
        (self.histogram, self.deliveries, self.echoes, self.sent) = (Histogram::new(), 0, 0, 0);
        self.delivered_senders.clear();
    }

    fn address(&self, id: usize) -> (u32, u16) {
        // Without rows, as a balancer spreads visitors: of two addresses, half of the pairs have
        // one socket on each.
        let row = id.checked_div(self.row).unwrap_or(if id.is_multiple_of(2) { id / 2 } else { id / 4 });
        self.addresses[row % self.addresses.len()]
    }

    /// Starts to open a socket under a number that is the next one, or whose socket is dead.
    pub fn connect(&mut self, id: usize, room: u32) {
        let connected = sys::connect(1 + (id % 16) as u8, self.address(id));
        let fd = connected.unwrap_or_else(|why| panic!("socket {id} cannot connect: {why}"));
        let (rest, out) = (Vec::new(), Vec::new());
        let socket = Socket { fd, room, state: State::Connecting, step: 0, rest, out, sent_at: 0 };
        if id < self.sockets.len() {
            self.sockets[id] = socket;
        } else {
            self.sockets.push(socket);
        }
        self.poll.add(fd, id, true);
    }

    fn kill(&mut self, id: usize, why: &str) {
        let socket = &mut self.sockets[id];
        if socket.state == State::Dead {
            return;
        }
        if socket.state == State::Ready {
            self.ready -= 1;
        }
        sys::close(socket.fd);
        self.first_error.get_or_insert_with(|| format!("socket {id}, {:?}: {why}", socket.state));
        socket.state = State::Dead;
        self.dead += 1;
    }

    /// Closes a socket that the measurement does not need any more. It does not count as dead.
    pub fn close(&mut self, id: usize) {
        sys::close(self.sockets[id].fd);
        self.sockets[id].state = State::Dead;
    }

    /// Reads nothing more of a socket.
    pub fn ignore(&self, id: usize) {
        self.poll.remove(self.sockets[id].fd);
    }

    fn flush(&mut self, id: usize) {
        let socket = &mut self.sockets[id];
        let mut sent = 0;
        while sent < socket.out.len()
            && let Some(count) = sys::send(socket.fd, &socket.out[sent..])
        {
            sent += count;
        }
        if sent < socket.out.len() {
            socket.out.drain(..sent);
            self.poll.change(socket.fd, id, true);
            return;
        }
        socket.out.clear();
        if socket.out.capacity() > KEPT_BYTES {
            socket.out = Vec::new();
        }
    }

    /// Sends a message from a socket that is ready.
    pub fn publish(&mut self, id: usize) {
        if self.sockets[id].state != State::Ready {
            return;
        }
        let time = now();
        let mut body = [b'x'; BODY_BYTES];
        body[..MARK.len()].copy_from_slice(MARK);
        let digits = &mut body[MARK.len()..MARK.len() + TIME_DIGITS + SENDER_DIGITS];
        write_hexadecimal(&mut digits[..TIME_DIGITS], time);
        write_hexadecimal(&mut digits[TIME_DIGITS..], id as u64);
        let socket = &mut self.sockets[id];
        socket.sent_at = time;
        let empty = socket.out.is_empty();
        self.driver.publish(socket.room, id as u32, &body, &mut socket.out);
        self.sent += 1;
        if empty {
            self.flush(id);
        }
    }

    /// Counts the deliveries in a payload. Returns `true` if there is one.
    fn count_deliveries(&mut self, id: usize, payload: &[u8], time: u64) -> bool {
        let (mut rest, mut found) = (payload, false);
        while let Some(at) = memchr::memmem::find(rest, MARK) {
            let Some(digits) = rest.get(at + MARK.len()..at + MARK.len() + TIME_DIGITS + SENDER_DIGITS) else { break };
            found = true;
            if id < self.counted {
                let (sent_at, sender) = digits.split_at(TIME_DIGITS);
                let (sent_at, sender) = (read_hexadecimal(sent_at), read_hexadecimal(sender) as u32);
                if sender as usize == id {
                    self.echoes += 1;
                } else {
                    self.deliveries += 1;
                    self.histogram.add(time.saturating_sub(sent_at));
                    if self.collect {
                        self.delivered_senders.push(sender);
                    }
                }
            }
            rest = &rest[at + MARK.len() + TIME_DIGITS + SENDER_DIGITS..];
        }
        found
    }

    /// Handles what has arrived. Returns how many bytes were used.
    fn parse(&mut self, id: usize, bytes: &[u8], time: u64) -> usize {
        let mut used = 0;
        let mut reply = std::mem::take(&mut self.reply);
        reply.clear();
        loop {
            let rest = &bytes[used..];
            let step = match self.sockets[id].state {
                State::Dead => None,
                State::Upgrading => self.finish_upgrade(id, rest, &mut reply),
                _ => self.handle_frame(id, rest, time, &mut reply),
            };
            match step {
                Some(count) => used += count,
                None => break,
            }
        }
        if self.sockets[id].state == State::Dead {
            used = bytes.len();
        } else if !reply.is_empty() {
            let empty = self.sockets[id].out.is_empty();
            self.sockets[id].out.extend_from_slice(&reply);
            if empty {
                self.flush(id);
            }
        }
        self.reply = reply;
        used
    }

    /// Handles the answer to the upgrade. Returns its size. `None` if it is not whole or refuses.
    fn finish_upgrade(&mut self, id: usize, bytes: &[u8], reply: &mut Vec<u8>) -> Option<usize> {
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        if !bytes.starts_with(b"HTTP/1.1 101") {
            let why = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            self.kill(id, &why);
            return None;
        }
        self.sockets[id].state = State::Joining;
        if self.driver.open(self.sockets[id].room, id as u32, reply) {
            self.set_ready(id);
        }
        Some(end + 4)
    }

    fn set_ready(&mut self, id: usize) {
        self.sockets[id].state = State::Ready;
        self.ready += 1;
    }

    /// Handles one frame. Returns its size. `None` if it is not whole or closes the socket.
    fn handle_frame(&mut self, id: usize, bytes: &[u8], time: u64, reply: &mut Vec<u8>) -> Option<usize> {
        let (opcode, start, end) = if self.driver.is_websocket() {
            frame_bounds(bytes)?
        } else {
            (TEXT, 0, memchr::memchr(b'\n', bytes)? + 1)
        };
        let payload = &bytes[start..end];
        match opcode {
            CLOSE => {
                let why = format!("close {}", String::from_utf8_lossy(&payload[..payload.len().min(120)]));
                self.kill(id, &why);
                return None;
            }
            PING => write_frame(reply, PONG, payload),
            PONG => {}
            _ if self.sockets[id].state == State::Joining => {
                let socket = &mut self.sockets[id];
                if self.driver.joining(&mut socket.step, socket.room, id as u32, payload, reply) {
                    self.set_ready(id);
                }
            }
            _ => {
                if !self.count_deliveries(id, payload, time) {
                    self.driver.other(payload, reply);
                }
            }
        }
        Some(end)
    }

    fn read(&mut self, id: usize) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        match sys::receive(self.sockets[id].fd, &mut buffer) {
            Ok(0) => self.kill(id, "end of stream"),
            Ok(count) => self.take(id, &buffer[..count], now()),
            Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(why) => self.kill(id, &why.to_string()),
        }
        self.read_buffer = buffer;
    }

    fn take(&mut self, id: usize, bytes: &[u8], time: u64) {
        let mut rest = std::mem::take(&mut self.sockets[id].rest);
        if rest.is_empty() {
            let used = self.parse(id, bytes, time);
            rest.extend_from_slice(&bytes[used..]);
        } else {
            rest.extend_from_slice(bytes);
            let used = self.parse(id, &rest, time);
            rest.drain(..used);
            if rest.is_empty() {
                rest = Vec::new();
            }
        }
        self.sockets[id].rest = rest;
    }

    /// Waits for events and handles them.
    pub fn poll(&mut self, ms: i32) {
        for nth in 0..self.poll.wait(ms) {
            let event = self.poll.event(nth);
            match self.sockets[event.id].state {
                State::Dead => {}
                State::Connecting => self.finish_connect(event),
                _ => {
                    if event.writable {
                        self.poll.change(self.sockets[event.id].fd, event.id, false);
                        self.flush(event.id);
                    }
                    if event.readable || event.failed {
                        self.read(event.id);
                    }
                }
            }
        }
    }

    fn finish_connect(&mut self, Event { id, failed, .. }: Event) {
        if failed {
            return self.kill(id, "the connection failed");
        }
        let (fd, room) = (self.sockets[id].fd, self.sockets[id].room);
        self.poll.change(fd, id, false);
        if self.driver.is_websocket() {
            let (path, port) = (self.driver.path(room, id as u32), self.address(id).1);
            let headers = self.driver.headers(id as u32);
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
            );
            self.sockets[id].out = request.into_bytes();
            self.sockets[id].state = State::Upgrading;
        } else {
            self.sockets[id].state = State::Joining;
            self.driver.open(room, id as u32, &mut self.sockets[id].out);
        }
        self.flush(id);
    }

    /// Opens sockets, at most `rate` a second and [`OPENING`] at once. Returns how many seconds it
    /// took.
    pub fn open_all(&mut self, count: usize, rate: f64, room_of: &dyn Fn(usize) -> u32) -> f64 {
        let began = now();
        let mut opened = 0;
        let (mut done, mut changed_at) = (0, began);
        while self.ready + self.dead < count {
            let due = (seconds_since(began) * rate) as usize + 1;
            while opened < count && opened < due && opened - self.ready - self.dead < OPENING {
                self.connect(opened, room_of(opened));
                opened += 1;
            }
            self.poll(1);
            if self.ready + self.dead != done {
                (done, changed_at) = (self.ready + self.dead, now());
            }
            if now() - changed_at > OPEN_STALL_NS {
                eprintln!(
                    "no socket opens any more: {} of {count} are ready, {} dead: {:?}",
                    self.ready, self.dead, self.first_error
                );
                break;
            }
        }
        seconds_since(began)
    }
}

/// Returns the seconds since a time of [`now`].
pub fn seconds_since(then: u64) -> f64 {
    (now() - then) as f64 / 1e9
}

/// Returns the opcode, start and end of the payload of a server's frame. `None` if it is not whole.
fn frame_bounds(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (opcode, length) = (bytes.first()? & 15, usize::from(bytes.get(1)? & 127));
    let (start, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..4)?.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*bytes.get(2..10)?.first_chunk()?) as usize),
        length => (2, length),
    };
    (bytes.len() >= start + length).then_some((opcode, start, start + length))
}

fn write_hexadecimal(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn read_hexadecimal(digits: &[u8]) -> u64 {
    let value = |digit: u8| if digit > b'9' { digit.wrapping_sub(b'a') + 10 } else { digit.wrapping_sub(b'0') };
    digits.iter().fold(0, |number, digit| number << 4 | u64::from(value(*digit)))
}

#[cfg(test)]
mod tests {
    use super::{frame_bounds, parse_address, read_hexadecimal, write_hexadecimal};

    #[test]
    fn numbers_come_back_from_their_digits() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut digits = [0; 16];
            write_hexadecimal(&mut digits, number);
            assert_eq!(read_hexadecimal(&digits), number);
        }
    }

    #[test]
    fn frames_that_are_not_whole_wait() {
        assert_eq!(frame_bounds(&[0x81, 3, b'a', b'b']), None);
        assert_eq!(frame_bounds(&[0x81, 2, b'a', b'b', 0x81]), Some((1, 2, 4)));
        assert_eq!(frame_bounds(&[0x82, 126, 0]), None);
        let long = [&[0x82, 126, 0, 200][..], &[0; 200]].concat();
        assert_eq!(frame_bounds(&long), Some((2, 4, 204)));
    }

    #[test]
    fn only_addresses_of_loopback_are_taken() {
        assert_eq!(parse_address("127.0.0.1:80"), Ok((u32::from_ne_bytes([127, 0, 0, 1]), 80)));
        assert!(parse_address("10.0.0.1:80").is_err() && parse_address("localhost").is_err());
    }
}
