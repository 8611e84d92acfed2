//! Hangs a node in the middle of a batch, while it holds the fence and the lock of a room's head.
//! It must not delay a ban or another node's entries for long.
use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::rng::Rng;
use sim::sys::{SIGCONT, SIGSTOP, signal};
use tokio::time::{sleep, timeout};
use tokio_postgres::Client as Database;

use crate::client::{Client, ClientKind, Lost};
use crate::context::{Context, Visitor};
use crate::postgres::{self, ROLES};

/// How long others can be delayed after the node hangs.
pub const HOLD_LIMIT: Duration = Duration::from_secs(5);
/// How long it can take to catch a node in the middle of a batch.
const CATCH_DEADLINE: Duration = Duration::from_secs(10);
/// The fence's key, and how a ban takes it: for a moment at a time, so that writers continue in
/// between.
const TAKE_FENCE: &str = "SET lock_timeout = '400ms'; BEGIN; SELECT pg_advisory_xact_lock(7881697873618796545); COMMIT";

/// Hangs a node that holds the fence, for `hold` at most, and measures how long a ban and another
/// node's entry wait.
pub async fn hang_writer(shared: &Arc<Context>, node: usize, hold: Duration) {
    let not_measured = || shared.history.count("hung batches not measured");
    let other = 1 - node;
    let (Some((writers, room)), Some(pid)) = (shared.writers.get(), shared.cluster.pid(node)) else { return };
    let folder = shared.cluster.socket_folder();
    let Ok(inside) = postgres::connect(&folder, "chaos").await else { return not_measured() };
    let Ok(banning) = postgres::connect(&folder, "chaos").await else { return not_measured() };
    let (mut here, mut there) = (client(shared, &writers[node], node), client(shared, &writers[other], other));
    if enter(&mut here, room).await.is_err() || enter(&mut there, room).await.is_err() {
        return not_measured();
    }
    let turns = shared.monitor.postgres_fault_changes();
    shared.cluster.set_disturbed(node, true);
    let caught = catch(&inside, &mut here, room, pid, node).await;
    if let Some(hung) = caught {
        let waiting = async { tokio::join!(fenced(&banning, hung), written(&mut there, room, hung)) };
        let measured = timeout(hold, waiting).await;
        let alone = shared.cluster.is_undisturbed(other, hung)
            && turns.is_multiple_of(2)
            && turns == shared.monitor.postgres_fault_changes();
        match measured {
            Ok((Some(fence), Some(entry))) if fence.max(entry) <= HOLD_LIMIT => {
                let (fence_ms, entry_ms) = (fence.as_millis(), entry.as_millis());
                let at = shared.history.elapsed();
                println!(
                    "{at:7.2} s  hung with the fence: a ban waited {fence_ms} ms, the other node's entry {entry_ms} ms"
                );
                shared.history.record("a ban after a node hung with the fence", fence);
                shared.history.record("an entry by another node after one hung with the room's head", entry);
                shared.history.count("nodes hung in the middle of a batch");
            }
            _ if !alone => not_measured(),
            _ => {
                let what = format!("node {} hung in a batch, and others waited more than {HOLD_LIMIT:?}", node + 1);
                shared.history.problem("liveness", what);
            }
        }
    } else {
        not_measured();
    }
    signal(pid, SIGCONT);
    shared.cluster.set_disturbed(node, false);
}

fn client(shared: &Arc<Context>, visitor: &Visitor, node: usize) -> Client {
    let mut client = Client::new(shared.clone(), visitor.clone(), Vec::new());
    (client.pinned, client.kind) = (Some(node), ClientKind::Patient);
    // Other client ids than in an earlier turn.
    client.rng = Rng::new(shared.seed, &format!("standstill {} {}", visitor.who, shared.history.elapsed()));
    client
}

async fn enter(client: &mut Client, room: &str) -> Result<(), Lost> {
    client.open().await?;
    if client.join(room).await?["ok"].is_null() { Err(Lost) } else { Ok(()) }
}

/// Hangs the node again and again until Postgres shows that it is in the middle of a batch. Returns
/// when it was hung.
async fn catch(inside: &Database, client: &mut Client, room: &str, pid: i32, node: usize) -> Option<Instant> {
    let began = Instant::now();
    while began.elapsed() < CATCH_DEADLINE {
        // Raised rights make the node check senders again, in several statements. The usual batch
        // is one statement, which cannot be interrupted in the middle.
        let raise = "UPDATE room_head SET rights = rights + 1
            WHERE room_id = (SELECT id FROM chat_room WHERE public_id = $1::text::uuid)";
        inside.execute(raise, &[&room]).await.ok()?;
        client.send_text(room, "in the middle of it".to_owned()).await.ok()?;
        let pause = client.rng.millis(0, 12);
        sleep(pause).await;
        let hung = Instant::now();
        signal(pid, SIGSTOP);
        // Postgres has finished the statements under way by then.
        sleep(Duration::from_millis(20)).await;
        let held = "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.classid = 1835100789 AND l.objid = 1 AND l.mode = 'ShareLock' AND l.granted
            AND a.usename::text = $1 AND a.application_name = 'maju writer' AND a.state = 'idle in transaction'";
        if !inside.query(held, &[&ROLES[node]]).await.ok()?.is_empty() {
            return Some(hung);
        }
        signal(pid, SIGCONT);
        client.listen(Duration::from_millis(50)).await.ok()?;
    }
    None
}

/// Returns how long it took to get the fence exclusively.
async fn fenced(db: &Database, hung: Instant) -> Option<Duration> {
    while db.batch_execute(TAKE_FENCE).await.is_err() {
        db.batch_execute("ROLLBACK").await.ok()?;
        sleep(Duration::from_millis(100)).await;
    }
    Some(hung.elapsed())
}

/// Returns how long it took the other node to write to the room whose head is locked.
async fn written(client: &mut Client, room: &str, hung: Instant) -> Option<Duration> {
    client.send_text(room, "beside it".to_owned()).await.ok()?;
    while client.pending_count() > 0 {
        client.listen(Duration::from_millis(10)).await.ok()?;
    }
    Some(hung.elapsed())
}
