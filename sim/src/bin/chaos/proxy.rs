//! A TCP proxy in place of a network: it passes bytes, holds them back in one direction or both, or
//! cuts connections.
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Nothing reaches the server. What the server sends still arrives.
    HoldUp,
    /// Nothing comes back from the server. What is sent to it still arrives.
    HoldDown,
    Hold,
    /// Connections break, and new ones break at once.
    Cut,
}

/// Where a proxy connects to.
#[derive(Clone)]
pub enum Target {
    /// A port on loopback.
    Port(u16),
    /// A Unix socket.
    Socket(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Target {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Port(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await?;
                let _ = stream.set_nodelay(true);
                Box::new(stream)
            }
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

/// A listening port whose connections are forwarded.
pub struct Proxy {
    pub port: u16,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Listens on `port` on loopback and forwards to `target`.
    pub async fn start(port: u16, target: Target) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a free port");
        let (mode, watched) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (watched, target) = (watched.clone(), target.clone());
                tokio::spawn(async move {
                    if *watched.borrow() == Mode::Cut {
                        return;
                    }
                    if let Ok(far) = target.connect().await {
                        link(near, far, watched).await;
                    }
                });
            }
        });
        Self { port, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn link(near: TcpStream, far: Box<dyn Stream>, mode: watch::Receiver<Mode>) {
    let _ = near.set_nodelay(true);
    let (near_read, near_write) = split(near);
    let (far_read, far_write) = split(far);
    let mut up =
        tokio::spawn(pump(near_read, far_write, |mode| matches!(mode, Mode::HoldUp | Mode::Hold), mode.clone()));
    let mut down = tokio::spawn(pump(far_read, near_write, |mode| matches!(mode, Mode::HoldDown | Mode::Hold), mode));
    // When one direction is finished, the other can still read what is under way, but not for ever.
    let rest = tokio::select! {
        _ = &mut up => &mut down,
        _ = &mut down => &mut up,
    };
    if tokio::time::timeout(Duration::from_secs(5), &mut *rest).await.is_err() {
        rest.abort();
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    holds: fn(Mode) -> bool,
    mut mode: watch::Receiver<Mode>,
) {
    let mut cut = mode.clone();
    let moving = async {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if mode.wait_for(|mode| !holds(*mode)).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::select! {
        () = moving => {}
        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}
