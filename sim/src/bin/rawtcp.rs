//! raw TCP broadcast, one epoll thread: "S<room>\n" joins, "P<100 bytes>\n" goes as one 101-byte write to every member
use libc::*;
use std::collections::HashMap;
fn main() {
    unsafe {
        let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
        let batch = std::env::args().nth(2).is_some();
        let mut acc: Vec<u8> = Vec::new();
        let ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        let one: c_int = 1;
        setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one as *const _ as *const c_void, 4);
        let mut sa: sockaddr_in = std::mem::zeroed();
        sa.sin_family = AF_INET as u16;
        sa.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        sa.sin_port = port.to_be();
        assert!(bind(ls, &sa as *const _ as *const sockaddr, 16) == 0);
        listen(ls, 4096);
        let ep = epoll_create1(0);
        let mut ev = epoll_event { events: EPOLLIN as u32, u64: ls as u64 };
        epoll_ctl(ep, EPOLL_CTL_ADD, ls, &mut ev);
        let mut rooms: HashMap<u32, Vec<c_int>> = HashMap::new();
        let mut of: Vec<u32> = vec![0; 65536];
        let mut evs = vec![epoll_event { events: 0, u64: 0 }; 512];
        let mut buf = vec![0u8; 65536];
        loop {
            let n = epoll_wait(ep, evs.as_mut_ptr(), 512, -1);
            for k in 0..n.max(0) as usize {
                let fd = evs[k].u64 as c_int;
                if fd == ls {
                    loop {
                        let c = accept4(ls, std::ptr::null_mut(), std::ptr::null_mut(), SOCK_NONBLOCK);
                        if c < 0 {
                            break;
                        }
                        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one as *const _ as *const c_void, 4);
                        let mut ev = epoll_event { events: EPOLLIN as u32, u64: c as u64 };
                        epoll_ctl(ep, EPOLL_CTL_ADD, c, &mut ev);
                    }
                    continue;
                }
                let r = recv(fd, buf.as_mut_ptr() as *mut c_void, buf.len(), 0);
                if r <= 0 {
                    let v = rooms.entry(of[fd as usize]).or_default();
                    v.retain(|x| *x != fd);
                    close(fd);
                    continue;
                }
                let mut d = &buf[..r as usize];
                while let Some(e) = memchr::memchr(b'\n', d) {
                    match d[0] {
                        b'S' => {
                            let room: u32 = std::str::from_utf8(&d[1..e]).unwrap().parse().unwrap();
                            of[fd as usize] = room;
                            rooms.entry(room).or_default().push(fd);
                            send(fd, b"OK\n".as_ptr() as *const c_void, 3, MSG_NOSIGNAL);
                        }
                        _ if batch => acc.extend_from_slice(&d[1..=e]),
                        _ => {
                            if let Some(v) = rooms.get(&of[fd as usize]) {
                                for m in v {
                                    send(*m, d[1..].as_ptr() as *const c_void, e, MSG_NOSIGNAL);
                                }
                            }
                        }
                    }
                    d = &d[e + 1..];
                }
                if !acc.is_empty() {
                    if let Some(v) = rooms.get(&of[fd as usize]) {
                        for m in v {
                            send(*m, acc.as_ptr() as *const c_void, acc.len(), MSG_NOSIGNAL);
                        }
                    }
                    acc.clear();
                }
            }
        }
    }
}
