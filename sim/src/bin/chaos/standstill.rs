//! A node is hung in the middle of a batch, with the fence and a room's head in its hand: it may hold up neither a ban nor
//! another node's entries for long.
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use crate::context::{Context, Guest};
use crate::line::{Line, Lost, Manner};
use crate::postgres::{self, ROLES};
use crate::rng::Rng;
use crate::world::signal;

/// What nobody may be held for, from the moment the node hangs.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long it is tried to catch a node in the middle of a batch.
const TRIES: Duration = Duration::from_secs(10);
/// The fence's key, and how a ban asks for it: a moment at a time, so that writers go on in between.
const ASK: &str = "SET lock_timeout = '400ms'; BEGIN; SELECT pg_advisory_xact_lock(7881697873618796545); COMMIT";

/// Hangs a node that holds the fence, for `hold` at most, and measures how long a ban and another node's writing wait.
pub async fn hang_writer(shared: &Arc<Context>, node: usize, hold: Duration) {
    let not_measured = || shared.history.count("hung batches not measured");
    let other = 1 - node;
    let (Some((writers, room)), Some(pid)) = (shared.writers.get(), shared.world.pid(node)) else { return };
    let folder = shared.world.socket_folder();
    let Ok(inside) = postgres::connect(&folder, "chaos").await else { return not_measured() };
    let Ok(banning) = postgres::connect(&folder, "chaos").await else { return not_measured() };
    let (mut here, mut there) = (line(shared, &writers[node], node), line(shared, &writers[other], other));
    if enter(&mut here, room).await.is_err() || enter(&mut there, room).await.is_err() {
        return not_measured();
    }
    let turns = shared.watch.turns();
    shared.world.set_upset(node, true);
    let caught = catch(&inside, &mut here, room, pid, node).await;
    if let Some(hung) = caught {
        let waiting = async { tokio::join!(fenced(&banning, hung), written(&mut there, room, hung)) };
        let measured = timeout(hold, waiting).await;
        let alone = shared.world.is_calm(other, hung) && turns % 2 == 0 && turns == shared.watch.turns();
        match measured {
            Ok((Some(fence), Some(entry))) if fence.max(entry) <= LIMIT => {
                let (fence_ms, entry_ms) = (fence.as_millis(), entry.as_millis());
                let at = shared.history.elapsed();
                println!(
                    "{at:7.2} s  hung with the fence: a ban waited {fence_ms} ms, the other node's entry {entry_ms} ms"
                );
                shared.history.measured("a ban after a node hung with the fence", fence);
                shared.history.measured("an entry by another node after one hung with the room's head", entry);
                shared.history.count("nodes hung in the middle of a batch");
            }
            _ if !alone => not_measured(),
            _ => {
                let what = format!("node {} hung in a batch, and others waited more than {LIMIT:?}", node + 1);
                shared.history.problem("liveness", what);
            }
        }
    } else {
        not_measured();
    }
    signal(pid, libc::SIGCONT);
    shared.world.set_upset(node, false);
}

fn line(shared: &Arc<Context>, guest: &Guest, node: usize) -> Line {
    let mut line = Line::new(shared.clone(), guest.clone(), Vec::new());
    (line.pinned, line.manner) = (Some(node), Manner::Patient);
    // Not the ids of an earlier turn.
    line.rng = Rng::of(shared.seed, &format!("standstill {} {}", guest.who, shared.history.elapsed()));
    line
}

async fn enter(line: &mut Line, room: &str) -> Result<(), Lost> {
    line.open().await?;
    if line.join(room).await?["ok"].is_null() { Err(Lost) } else { Ok(()) }
}

/// Hangs the node again and again until Postgres says that it stands in the middle of a batch. Answers since when it does.
async fn catch(inside: &Client, line: &mut Line, room: &str, pid: i32, node: usize) -> Option<Instant> {
    let began = Instant::now();
    while began.elapsed() < TRIES {
        // Whoever was checked before is checked again, statement by statement: the usual batch is one, and cannot be halved.
        let raise = "UPDATE room_head SET rights = rights + 1
            WHERE room_id = (SELECT id FROM chat_room WHERE public_id = $1::text::uuid)";
        inside.execute(raise, &[&room]).await.ok()?;
        line.post(room, "in the middle of it".to_owned()).await.ok()?;
        let pause = line.rng.millis(0, 12);
        sleep(pause).await;
        let hung = Instant::now();
        signal(pid, libc::SIGSTOP);
        // What Postgres has in hand is done by then.
        sleep(Duration::from_millis(20)).await;
        let held = "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.classid = 1835100789 AND l.objid = 1 AND l.mode = 'ShareLock' AND l.granted
            AND a.usename::text = $1 AND a.application_name = 'maju writer' AND a.state = 'idle in transaction'";
        if !inside.query(held, &[&ROLES[node]]).await.ok()?.is_empty() {
            return Some(hung);
        }
        signal(pid, libc::SIGCONT);
        line.listen(Duration::from_millis(50)).await.ok()?;
    }
    None
}

/// How long until the fence can be had alone.
async fn fenced(db: &Client, hung: Instant) -> Option<Duration> {
    while db.batch_execute(ASK).await.is_err() {
        db.batch_execute("ROLLBACK").await.ok()?;
        sleep(Duration::from_millis(100)).await;
    }
    Some(hung.elapsed())
}

/// How long until the other node has written to the room whose head is held.
async fn written(line: &mut Line, room: &str, hung: Instant) -> Option<Duration> {
    line.post(room, "beside it".to_owned()).await.ok()?;
    while line.waits() > 0 {
        line.listen(Duration::from_millis(10)).await.ok()?;
    }
    Some(hung.elapsed())
}
