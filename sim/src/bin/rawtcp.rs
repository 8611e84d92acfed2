//! A yardstick: raw TCP broadcast on one epoll thread.
//!
//! usage: rawtcp <port> [batch]
//!
//! A line `S<room>` joins a room, and a line `P<100 bytes>` goes as one write of 101 bytes to every
//! member. With `batch` all lines that arrived together go out in one write.
use std::collections::HashMap;

use sim::sys::{self, Poll};

/// Bytes that are read at once.
const READ_BYTES: usize = 65_536;

/// The members of each room, and the room of each socket.
#[derive(Default)]
struct Rooms {
    members: HashMap<u32, Vec<i32>>,
    room_of: HashMap<i32, u32>,
}

impl Rooms {
    fn join(&mut self, fd: i32, room: u32) {
        self.room_of.insert(fd, room);
        self.members.entry(room).or_default().push(fd);
        sys::send(fd, b"OK\n");
    }

    fn leave(&mut self, fd: i32) {
        if let Some(members) = self.room_of.remove(&fd).and_then(|room| self.members.get_mut(&room)) {
            members.retain(|member| *member != fd);
        }
    }

    fn broadcast(&self, from: i32, bytes: &[u8]) {
        let members = self.room_of.get(&from).and_then(|room| self.members.get(room));
        for member in members.into_iter().flatten() {
            sys::send(*member, bytes);
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let port = args.get(1).and_then(|text| text.parse().ok()).expect("a port");
    let batch = args.len() > 2;
    let listener = sys::listen(port).expect("the port is free");
    let mut poll = Poll::default();
    poll.add(listener, listener as usize, false);
    let (mut rooms, mut buffer) = (Rooms::default(), vec![0_u8; READ_BYTES]);
    loop {
        for nth in 0..poll.wait(-1) {
            let fd = poll.event(nth).id as i32;
            if fd == listener {
                while let Some(socket) = sys::accept(listener) {
                    poll.add(socket, socket as usize, false);
                }
                continue;
            }
            match sys::receive(fd, &mut buffer) {
                Ok(count @ 1..) => handle(&mut rooms, fd, &buffer[..count], batch),
                _ => {
                    rooms.leave(fd);
                    sys::close(fd);
                }
            }
        }
    }
}

/// Handles the lines that a socket has sent.
fn handle(rooms: &mut Rooms, fd: i32, mut bytes: &[u8], batch: bool) {
    let mut together = Vec::new();
    while let Some(end) = memchr::memchr(b'\n', bytes) {
        match bytes[0] {
            b'S' => {
                let room = std::str::from_utf8(&bytes[1..end]).ok().and_then(|text| text.parse().ok());
                rooms.join(fd, room.expect("a room number"));
            }
            _ if batch => together.extend_from_slice(&bytes[1..=end]),
            _ => rooms.broadcast(fd, &bytes[1..=end]),
        }
        bytes = &bytes[end + 1..];
    }
    if !together.is_empty() {
        rooms.broadcast(fd, &together);
    }
}
