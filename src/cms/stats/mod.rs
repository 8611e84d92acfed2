//! The numbers of the landing page: set by hand or counted, in order, with their history.
mod history;
mod model;
mod routes;
mod store;

use serde_json::json;

#[cfg(test)]
pub(super) use history::record_now;
pub(super) use history::run as run_history;
pub use history::stat_history;
pub use model::{Label, LiveCounts, SiteStat, Source, Stat, StatChange, Unit};
pub(super) use routes::router;
#[cfg(test)]
pub(super) use store::live_counts;

use super::sections::{Editor, raise_content};
use super::{announce, limits};
use crate::app::App;
use crate::error::{Error, Result};
use model::checked_key;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Returns the stats in order, the hidden ones too, and what is counted now.
///
/// # Errors
/// `unavailable`.
pub async fn stats(app: &App) -> Result<(Vec<Stat>, LiveCounts)> {
    let mut db = app.db.acquire().await?;
    let stats = store::list(&mut db).await?;
    let counts = counts(app, &mut db, &stats, app.clock.now()).await?;
    Ok((stats, counts))
}

/// Counts what stats are counted from. Messages are counted at most once a minute, and only if a
/// visible stat shows them.
///
/// # Errors
/// The database's.
pub(super) async fn counts(
    app: &App,
    db: &mut PgConnection,
    stats: &[Stat],
    now: OffsetDateTime,
) -> sqlx::Result<LiveCounts> {
    let zone = &app.config.time_zone;
    let mut counts = store::live_counts(db, now, zone).await?;
    if stats.iter().any(|stat| stat.visible && stat.source == Some(Source::MessagesToday)) {
        let known = *app.cms.messages_today.lock();
        let since = known.filter(|(at, _)| now - *at < limits::MESSAGES_COUNT_INTERVAL);
        counts.messages_today = match since {
            Some((_, count)) => Some(count),
            None => {
                let count = store::messages_today(db, now, zone).await?;
                *app.cms.messages_today.lock() = Some((now, count));
                Some(count)
            }
        };
    }
    Ok(counts)
}

/// Reads the stats that visitors see, in order.
///
/// # Errors
/// The database's.
pub(super) async fn read_shown(app: &App, db: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<Vec<SiteStat>> {
    let stats = store::list(db).await?;
    let counts = counts(app, db, &stats, now).await?;
    Ok(stats.into_iter().filter(|stat| stat.visible).map(|stat| stat.shown(&counts)).collect())
}

/// A stat to be added.
#[derive(Clone, Debug)]
pub struct NewStat {
    pub key: String,
    pub label: Label,
    pub unit: Unit,
    pub source: Option<Source>,
    pub manual: Option<i64>,
}

/// Adds a stat at the end. Visitors see it once it is made visible.
///
/// # Errors
/// `bad_frame` or `too_long` with the field, `conflict` if the key is in use or there are too many,
/// `session_ended`, `unavailable`.
pub async fn add_stat(app: &App, by: Editor<'_>, new: NewStat) -> Result<Stat> {
    checked_key(&new.key)?;
    let stat = Stat {
        key: new.key,
        position: 0,
        visible: false,
        manual: None,
        source: new.source,
        label: new.label.clone(),
        unit: new.unit,
        hide_below: 1,
        hide_when_stale: false,
        round_to: 1,
        version: 1,
        updated_by: by.handle()?.to_owned(),
        updated_at: app.clock.now(),
    };
    let change = StatChange { label: Some(new.label), manual: Some(new.manual), ..StatChange::default() };
    put_stat(app, by, change.applied(stat)?, "stat.added").await
}

/// Puts a stat back that was deleted, as it was.
///
/// # Errors
/// As [`add_stat`].
pub async fn restore_stat(app: &App, by: Editor<'_>, stat: Stat) -> Result<Stat> {
    checked_key(&stat.key)?;
    let label = stat.label.clone().checked()?;
    put_stat(app, by, StatChange::default().applied(Stat { label, ..stat })?, "stat.restored").await
}

/// Adds a stat. One with a position goes to that place, others to the end.
async fn put_stat(app: &App, by: Editor<'_>, stat: Stat, action: &'static str) -> Result<Stat> {
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?; // locks it: such changes follow each other
    let stats = store::list(&mut tx).await?;
    if stats.iter().any(|old| old.key == stat.key) {
        return Err(Error::Taken { field: "key", why: "There is a number with this key already." });
    }
    if i64::try_from(stats.len()).is_ok_and(|count| count >= limits::MAX_STATS) {
        return Err(Error::Conflict("There are too many numbers. Delete one first."));
    }
    let last = stats.last().map_or(0, |last| last.position);
    let position = if stat.position > 0 { stat.position } else { last.saturating_add(10) };
    let stat = Stat { position, ..stat };
    write(&mut tx, &stat).await?;
    let detail = json!({"label": stat.label, "visible": stat.visible});
    by.record(&mut tx, action, &stat.key, detail).await?;
    tx.commit().await?;
    announce(app);
    Ok(stat)
}

async fn write(tx: &mut PgConnection, stat: &Stat) -> Result<()> {
    let label = serde_json::to_value(&stat.label).map_err(Error::internal)?;
    Ok(store::store(tx, stat, &label).await?)
}

/// Changes a stat. With `version`, only if it is the newest one.
///
/// # Errors
/// `bad_frame` or `too_long` with the field, `conflict` with the stat as it is now if `version` is
/// old, `not_found`, `session_ended`, `unavailable`.
pub async fn save_stat(app: &App, by: Editor<'_>, key: &str, version: Option<i64>, change: StatChange) -> Result<Stat> {
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?; // locks it: such changes follow each other
    let old = store::list(&mut tx).await?.into_iter().find(|stat| stat.key == key).ok_or(Error::NotFound)?;
    if version.is_some_and(|version| version != old.version) {
        let current = serde_json::to_value(routes::StatView::of(&old, None)).map_err(Error::internal)?;
        return Err(Error::Outdated { current: Box::new(current) });
    }
    let mut stat = change.applied(old)?;
    stat.version += 1;
    by.handle()?.clone_into(&mut stat.updated_by);
    stat.updated_at = app.clock.now();
    write(&mut tx, &stat).await?;
    let detail = json!({"manual": stat.manual, "visible": stat.visible, "label": stat.label});
    by.record(&mut tx, "stat.saved", key, detail).await?;
    tx.commit().await?;
    announce(app);
    Ok(stat)
}

/// Puts the stats in order.
///
/// # Errors
/// `conflict` if `keys` are not all stats, each once, `session_ended`, `unavailable`.
pub async fn order_stats(app: &App, by: Editor<'_>, keys: &[String]) -> Result<()> {
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?;
    let mut old: Vec<String> = store::list(&mut tx).await?.into_iter().map(|stat| stat.key).collect();
    let mut named = keys.to_vec();
    old.sort_unstable();
    named.sort_unstable();
    if old != named {
        return Err(Error::Conflict("The numbers have changed. Load the list again, then order it."));
    }
    store::set_order(&mut tx, keys).await?;
    by.record(&mut tx, "stat.ordered", "stats", json!({"keys": keys})).await?;
    tx.commit().await?;
    announce(app);
    Ok(())
}

/// Deletes a stat and returns it, for [`restore_stat`].
///
/// # Errors
/// `not_found`, `session_ended`, `unavailable`.
pub async fn delete_stat(app: &App, by: Editor<'_>, key: &str) -> Result<Stat> {
    let mut tx = by.begin(app).await?;
    raise_content(&mut tx).await?; // locks it: such changes follow each other
    let stat = store::list(&mut tx).await?.into_iter().find(|stat| stat.key == key).ok_or(Error::NotFound)?;
    store::delete(&mut tx, key).await?;
    by.record(&mut tx, "stat.deleted", key, json!({"label": stat.label})).await?;
    tx.commit().await?;
    announce(app);
    Ok(stat)
}
