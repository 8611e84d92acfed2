//! The landing page: sections and numbers. A page is made from a snapshot in memory; a request for one runs no SQL.
mod figure;
mod model;
mod page;
mod routes;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::model::SiteStat;
use self::snapshot::{Contents, Snapshot};
use crate::app::App;

pub use routes::{api, router};

/// How often sections and numbers are read again.
const EVERY: Duration = Duration::from_secs(2);

/// Counting may take at most one part in this many of a node's time, however many talks there are.
const SHARE: u32 = 20;

/// A read that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers older than this say from when they are.
const FRESH: Duration = Duration::from_secs(60);

/// The last good snapshot. Before the first read: the built-in sections, and no numbers.
pub struct State {
    current: watch::Sender<Arc<Snapshot>>,
    forgotten: Notify,
}

impl Default for State {
    fn default() -> Self {
        let snapshot = Snapshot::of(Contents::default());
        Self { current: watch::Sender::new(Arc::new(snapshot)), forgotten: Notify::new() }
    }
}

impl State {
    fn current(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Shows these contents from now on. The same contents again keep the pages that were made of them.
    fn show(&self, contents: Contents) {
        let current = self.current();
        if *current.contents() != contents {
            self.current.send_replace(Arc::new(current.followed_by(contents)));
        }
    }

    /// Says of the numbers that they are from then.
    fn age(&self, as_of: OffsetDateTime) {
        self.show(Contents { as_of: Some(as_of), ..self.current().contents().clone() });
    }
}

/// Starts the task that keeps the snapshot.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("cms.snapshot", move || {
        let node = node.clone();
        async move {
            node.tasks.stopping.clone().run_until_cancelled(keep(&node)).await;
        }
    });
}

/// Has the sections and numbers read again at once, without waiting for the next turn: after a publication.
#[cfg_attr(not(test), expect(dead_code, reason = "publishing comes with the back-office"))]
pub fn forget(app: &App) {
    app.cms.forgotten.notify_one();
}

async fn keep(app: &App) {
    let mut good = None;
    let mut failing = false;
    loop {
        let began = Instant::now();
        let now = app.clock.now();
        match refresh(app, now).await {
            Ok(()) => {
                good = Some((now, app.clock.instant()));
                failing = false;
            }
            Err(cause) if !failing => {
                failing = true;
                tracing::warn!(error.cause = %cause, "the landing page keeps its last sections and numbers");
            }
            Err(_) => {}
        }
        if let Some((last, at)) = good
            && app.clock.instant() - at > FRESH
        {
            app.cms.age(last);
        }
        let rest = EVERY.max(began.elapsed() * SHARE);
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = app.cms.forgotten.notified() => {}
        }
    }
}

async fn refresh(app: &App, now: OffsetDateTime) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let contents = tokio::time::timeout(PATIENCE, async {
        let mut db = app.db.acquire().await?;
        read(&mut db, now, &app.config.time_zone).await
    });
    app.cms.show(contents.await??);
    Ok(())
}

/// Reads everything that the page shows.
async fn read(db: &mut PgConnection, now: OffsetDateTime, time_zone: &str) -> sqlx::Result<Contents> {
    let sections = store::sections(db).await?;
    let stored = store::stats(db).await?;
    let live = store::live(db, now, time_zone).await?;
    let stats = stored.into_iter().map(|stat| SiteStat {
        value: stat.manual.or_else(|| live.value(&stat.key)).filter(|value| *value > 0),
        key: stat.key,
        label: stat.label,
        unit: stat.unit,
    });
    Ok(Contents { sections, stats: stats.collect(), as_of: None })
}
