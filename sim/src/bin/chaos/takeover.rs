//! The node that pairs is hung: another one must match two who seek on it.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client;
use crate::context::Context;
use crate::line::{Line, Lost, Manner};
use crate::postgres::{self, ROLES};
use crate::world::signal;

/// Longest time from the moment it hangs to a match by another node.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Which node holds the matcher's lock, as Postgres knows it.
async fn leader(shared: &Context) -> Option<usize> {
    let inside = postgres::connect(&shared.world.socket_folder(), "chaos").await.ok()?;
    let held = "SELECT a.usename::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND a.application_name = 'maju matcher'";
    let role: String = inside.query(held, &[]).await.ok()?.first()?.get(0);
    ROLES.iter().position(|known| *known == role)
}

/// Hangs the node that pairs, for `hold` at most, and measures how soon two on the other node are matched.
pub async fn hang_matcher(shared: &Arc<Context>, hold: Duration) {
    let began = Instant::now();
    let node = loop {
        if let Some(node) = leader(shared).await {
            break node;
        }
        if began.elapsed() > LIMIT {
            return shared.history.count("takeovers not measured");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let other = 1 - node;
    let mut lines = Vec::new();
    for _ in 0..2 {
        let Some(guest) = client::guest_at(shared, shared.stranger(), other).await else {
            return shared.history.count("takeovers not measured");
        };
        let mut line = Line::new(shared.clone(), guest, Vec::new());
        line.pinned = Some(other);
        line.manner = Manner::Patient;
        lines.push(line);
    }
    let Some(pid) = shared.world.pid(node) else { return };
    let (mut two, turns) = (lines.split_off(1), shared.watch.turns());
    let (one, two) = (&mut lines[0], &mut two[0]);
    if one.open().await.is_err() || two.open().await.is_err() {
        shared.history.count("takeovers not measured");
    } else {
        shared.world.set_upset(node, true);
        signal(pid, libc::SIGSTOP);
        let hung = Instant::now();
        let found = tokio::time::timeout(hold, async { tokio::join!(found(one), found(two)) }).await;
        let took = hung.elapsed();
        signal(pid, libc::SIGCONT);
        shared.world.set_upset(node, false);
        let alone = shared.world.is_calm(other, hung) && turns % 2 == 0 && turns == shared.watch.turns();
        if !alone || (took < LIMIT && found.is_err()) {
            shared.history.count("takeovers not measured");
        } else if matches!(found, Ok((Ok(()), Ok(())))) && took <= LIMIT {
            println!("{:7.2} s  node {} matched after {} ms", shared.history.elapsed(), other + 1, took.as_millis());
            shared.history.measured("match by another node", took);
        } else {
            let what =
                format!("node {} had matched nobody {} ms after node {} hung", other + 1, took.as_millis(), node + 1);
            shared.history.problem("takeover", what);
        }
    }
    // They go, so that nobody waits for them at the end.
    client::retire(one).await;
    client::retire(two).await;
}

/// Seeks in a language that nobody else of the run speaks, until a partner is found.
async fn found(line: &mut Line) -> Result<(), Lost> {
    let frame = json!({"type": "seek", "interests": ["chess"], "languages": ["eo"], "translate": false});
    while line.ask(frame.clone()).await?["ok"].is_null() {
        line.listen(Duration::from_millis(200)).await?;
    }
    loop {
        line.listen(Duration::from_millis(20)).await?;
        if line.events.iter().any(|event| event["type"] == "found") {
            return Ok(());
        }
    }
}
