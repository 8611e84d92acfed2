//! The system calls of this package, behind safe functions.
//!
//! One thread of the load generator drives thousands of sockets with epoll, because it must cost
//! little beside the server that it measures.
#![expect(unsafe_code, reason = "raw sockets, epoll, signals and mounts are not in the standard library")]
use std::io::{Error, Result};
use std::mem::{size_of, size_of_val, zeroed};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use libc::{c_int, c_void, epoll_event, sockaddr, sockaddr_in, socklen_t};

pub use libc::{SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM};

/// Sends a signal to one process. Returns `true` if that process exists.
pub fn signal(pid: i32, signal: i32) -> bool {
    // SAFETY: a system call on two numbers; no memory is shared.
    pid > 1 && unsafe { libc::kill(pid, signal) } == 0
}

/// Makes a program end when this program ends, even if that is killed.
pub fn end_with_this_program(command: &mut Command) {
    // SAFETY: one system call between fork and exec, which allocates nothing.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Returns `true` if this program runs as root.
pub fn is_root() -> bool {
    // SAFETY: a system call without arguments.
    unsafe { libc::geteuid() == 0 }
}

/// Moves this process into a mount namespace of its own. Call it before any thread is started,
/// because a namespace belongs to a thread.
///
/// # Errors
/// If mounting is not allowed here.
pub fn separate_mounts() -> Result<()> {
    let (none, root) = (c"none".as_ptr(), c"/".as_ptr());
    // SAFETY: system calls; the two strings end with a zero byte.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root, ptr::null(), libc::MS_REC | libc::MS_PRIVATE, ptr::null()) == 0
    };
    if done { Ok(()) } else { Err(Error::last_os_error()) }
}

/// `IP_BIND_ADDRESS_NO_PORT`: the port is chosen when the socket connects.
const BIND_ADDRESS_NO_PORT: c_int = 24;
/// Events that are read at once.
const EVENTS: usize = 1_024;

/// Returns the nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    // SAFETY: the call fills a structure of plain numbers.
    unsafe {
        let mut time: libc::timespec = zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

fn set_option<T>(fd: c_int, level: c_int, name: c_int, value: &T) {
    // SAFETY: the kernel reads a plain structure of the given size.
    unsafe {
        let pointer = ptr::from_ref(value).cast::<c_void>();
        libc::setsockopt(fd, level, name, pointer, size_of_val(value) as socklen_t);
    }
}

/// Opens a socket that is about to connect to an address of loopback, from 127.0.1.`from`. A close
/// resets it, so that no port stays occupied.
///
/// # Errors
/// Those of the system calls.
pub fn connect(from: u8, (ip, port): (u32, u16)) -> Result<c_int> {
    // SAFETY: system calls on numbers and on structures that live as long as the calls.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(Error::last_os_error());
        }
        let on: c_int = 1;
        set_option(fd, libc::IPPROTO_IP, BIND_ADDRESS_NO_PORT, &on);
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on);
        set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: 0 });
        let mut address: sockaddr_in = zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 1, from]);
        let size = size_of::<sockaddr_in>() as socklen_t;
        libc::bind(fd, ptr::from_ref(&address).cast::<sockaddr>(), size);
        address.sin_addr.s_addr = ip;
        address.sin_port = port.to_be();
        let outcome = libc::connect(fd, ptr::from_ref(&address).cast::<sockaddr>(), size);
        let why = Error::last_os_error();
        if outcome < 0 && why.raw_os_error() != Some(libc::EINPROGRESS) {
            libc::close(fd);
            return Err(why);
        }
        Ok(fd)
    }
}

/// Listens on a port of loopback.
///
/// # Errors
/// If the port is taken.
pub fn listen(port: u16) -> Result<c_int> {
    // SAFETY: system calls on numbers and on structures that live as long as the calls.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0);
        let on: c_int = 1;
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &on);
        let mut address: sockaddr_in = zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        address.sin_port = port.to_be();
        let size = size_of::<sockaddr_in>() as socklen_t;
        let bound = libc::bind(fd, ptr::from_ref(&address).cast::<sockaddr>(), size);
        if bound < 0 || libc::listen(fd, 4_096) < 0 { Err(Error::last_os_error()) } else { Ok(fd) }
    }
}

/// Accepts a connection. `None` if there is none now.
pub fn accept(listener: c_int) -> Option<c_int> {
    // SAFETY: the kernel writes no address where the pointers are null.
    let fd = unsafe { libc::accept4(listener, ptr::null_mut(), ptr::null_mut(), libc::SOCK_NONBLOCK) };
    if fd < 0 {
        return None;
    }
    let on: c_int = 1;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on);
    Some(fd)
}

/// Closes a socket.
pub fn close(fd: c_int) {
    // SAFETY: a system call on a number.
    unsafe {
        libc::close(fd);
    }
}

/// Sends as much as the socket takes. `None` if it takes nothing now.
pub fn send(fd: c_int, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the kernel reads no more than the slice.
    let sent = unsafe { libc::send(fd, bytes.as_ptr().cast::<c_void>(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(sent).ok().filter(|sent| *sent > 0)
}

/// Receives what has arrived; 0 bytes at the end of the stream.
///
/// # Errors
/// `WouldBlock` if nothing has arrived, and those of the system call.
pub fn receive(fd: c_int, bytes: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes no more than the slice.
    let received = unsafe { libc::recv(fd, bytes.as_mut_ptr().cast::<c_void>(), bytes.len(), libc::MSG_DONTWAIT) };
    usize::try_from(received).map_err(|_| Error::last_os_error())
}

/// Limits the kernel's receive buffer of a socket.
pub fn set_receive_buffer(fd: c_int, bytes: c_int) {
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes);
}

/// What has happened to a socket.
#[derive(Clone, Copy)]
pub struct Event {
    /// The number that was given with the socket.
    pub id: usize,
    pub readable: bool,
    pub writable: bool,
    /// The connection failed or was reset.
    pub failed: bool,
}

/// An epoll instance.
pub struct Poll {
    fd: c_int,
    events: Vec<epoll_event>,
}

impl Default for Poll {
    fn default() -> Self {
        // SAFETY: a system call on a number.
        let fd = unsafe { libc::epoll_create1(0) };
        Self { fd, events: vec![epoll_event { events: 0, u64: 0 }; EVENTS] }
    }
}

impl Poll {
    fn control(&self, operation: c_int, fd: c_int, id: usize, writable: bool) {
        let wanted = libc::EPOLLIN | if writable { libc::EPOLLOUT } else { 0 };
        let mut event = epoll_event { events: wanted as u32, u64: id as u64 };
        // SAFETY: the structure lives as long as the call.
        unsafe {
            libc::epoll_ctl(self.fd, operation, fd, &mut event);
        }
    }

    /// Watches a new socket for reading, and for writing if `writable`.
    pub fn add(&self, fd: c_int, id: usize, writable: bool) {
        self.control(libc::EPOLL_CTL_ADD, fd, id, writable);
    }

    /// Watches a socket for reading, and for writing only if `writable`.
    pub fn change(&self, fd: c_int, id: usize, writable: bool) {
        self.control(libc::EPOLL_CTL_MOD, fd, id, writable);
    }

    /// Watches a socket no longer.
    pub fn remove(&self, fd: c_int) {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, false);
    }

    /// Waits for events. Returns how many [`Poll::event`] has.
    pub fn wait(&mut self, ms: c_int) -> usize {
        // SAFETY: the kernel writes no more events than the vector has.
        let count = unsafe { libc::epoll_wait(self.fd, self.events.as_mut_ptr(), self.events.len() as c_int, ms) };
        usize::try_from(count).unwrap_or(0)
    }

    /// Returns an event of the last wait.
    pub fn event(&self, nth: usize) -> Event {
        let epoll_event { events, u64: id } = self.events[nth];
        let has = |flags: c_int| events & flags as u32 != 0;
        Event {
            id: id as usize,
            readable: has(libc::EPOLLIN),
            writable: has(libc::EPOLLOUT),
            failed: has(libc::EPOLLERR | libc::EPOLLHUP),
        }
    }
}
