//! Writing to a socket, in time, and while something else is waited for.
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::end::End;
use super::wire::Wire;
use crate::faults::{self, Fault};
use crate::realtime::{CloseCode, Queue};

/// How long one write may take before the socket counts as too slow.
pub(super) const WRITE: Duration = Duration::from_secs(10);
/// How often answers are looked for while something else is waited for.
const MEANWHILE: Duration = Duration::from_millis(100);

/// Writes within the time that a socket has for it. One that takes longer is too slow; its queue drops what can be read
/// again meanwhile.
pub(super) async fn write(wire: Option<&mut Wire>, pieces: impl IntoIterator<Item = Bytes>) -> Result<(), End> {
    let Some(wire) = wire else { return Err(End::Gone) };
    match timeout(WRITE, wire.write(pieces)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) if faults::on(Fault::SlowSocketKept) => Ok(()),
        Err(_) => Err(End::because(CloseCode::TooSlow, "too slow")),
    }
}

/// Does something while answers that come meanwhile are written. Answers how many were, and the outcome.
pub(super) async fn meanwhile<T>(
    queue: &Queue,
    mut wire: Option<&mut Wire>,
    doing: impl Future<Output = T>,
) -> (usize, Result<T, End>) {
    let mut doing = pin!(doing);
    let mut written = 0;
    loop {
        tokio::select! {
            biased;
            outcome = &mut doing => return (written, Ok(outcome)),
            () = tokio::time::sleep(MEANWHILE) => {}
        }
        let answers = queue.take_answers();
        if answers.is_empty() {
            continue;
        }
        written += answers.len();
        let mut writing = pin!(write(wire.as_deref_mut(), answers));
        tokio::select! {
            biased;
            wrote = &mut writing => if let Err(end) = wrote { return (written, Err(end)) },
            // What has been begun is written whole.
            outcome = &mut doing => return (written, writing.await.map(|()| outcome)),
        }
    }
}
