//! Hangs the node of the matcher: another node must match two visitors who seek on it.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sim::sys::{SIGCONT, SIGSTOP, signal};

use crate::client::{Client, ClientKind, Lost};
use crate::context::Context;
use crate::postgres::{self, ROLES};
use crate::workload;

/// How long another node can take to match after the node of the matcher hangs.
pub const MATCH_DEADLINE: Duration = Duration::from_secs(5);

/// Returns the node that holds the matcher's lock, as Postgres sees it.
async fn leader(shared: &Context) -> Option<usize> {
    let inside = postgres::connect(&shared.cluster.socket_folder(), "chaos").await.ok()?;
    let held = "SELECT a.usename::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND a.application_name = 'maju matcher'";
    let role: String = inside.query(held, &[]).await.ok()?.first()?.get(0);
    ROLES.iter().position(|known| *known == role)
}

/// Hangs the node of the matcher, for `hold` at most, and measures how soon two visitors on the
/// other node are matched.
pub async fn hang_matcher(shared: &Arc<Context>, hold: Duration) {
    let began = Instant::now();
    let node = loop {
        if let Some(node) = leader(shared).await {
            break node;
        }
        if began.elapsed() > MATCH_DEADLINE {
            return shared.history.count("takeovers not measured");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let other = 1 - node;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let Some(visitor) = workload::visitor_at(shared, shared.stranger(), other).await else {
            return shared.history.count("takeovers not measured");
        };
        let mut client = Client::new(shared.clone(), visitor, Vec::new());
        client.pinned = Some(other);
        client.kind = ClientKind::Patient;
        clients.push(client);
    }
    let Some(pid) = shared.cluster.pid(node) else { return };
    let (mut two, turns) = (clients.split_off(1), shared.monitor.postgres_fault_changes());
    let (one, two) = (&mut clients[0], &mut two[0]);
    if one.open().await.is_err() || two.open().await.is_err() {
        shared.history.count("takeovers not measured");
    } else {
        shared.cluster.set_disturbed(node, true);
        signal(pid, SIGSTOP);
        let hung = Instant::now();
        let found = tokio::time::timeout(hold, async { tokio::join!(found(one), found(two)) }).await;
        let took = hung.elapsed();
        signal(pid, SIGCONT);
        shared.cluster.set_disturbed(node, false);
        let alone = shared.cluster.is_undisturbed(other, hung)
            && turns % 2 == 0
            && turns == shared.monitor.postgres_fault_changes();
        if !alone || (took < MATCH_DEADLINE && found.is_err()) {
            shared.history.count("takeovers not measured");
        } else if matches!(found, Ok((Ok(()), Ok(())))) && took <= MATCH_DEADLINE {
            println!("{:7.2} s  node {} matched after {} ms", shared.history.elapsed(), other + 1, took.as_millis());
            shared.history.record("match by another node", took);
        } else {
            let what =
                format!("node {} had matched nobody {} ms after node {} hung", other + 1, took.as_millis(), node + 1);
            shared.history.problem("takeover", what);
        }
    }
    // They stop, so that nobody waits for them at the end.
    workload::retire(one).await;
    workload::retire(two).await;
}

/// Seeks in a language that nobody else of the run speaks, until a partner is found.
async fn found(client: &mut Client) -> Result<(), Lost> {
    let frame = json!({"type": "seek", "interests": ["chess"], "languages": ["eo"], "translate": false});
    while client.ask(frame.clone()).await?["ok"].is_null() {
        client.listen(Duration::from_millis(200)).await?;
    }
    loop {
        client.listen(Duration::from_millis(20)).await?;
        if client.events.iter().any(|event| event["type"] == "found") {
            return Ok(());
        }
    }
}
