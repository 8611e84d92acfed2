//! The audit log: what staff did, and what was done to accounts. Rows are only added, and each is
//! chained to the one before by a hash, so that a changed or removed row is found. Knows no noun.
mod model;
mod store;
#[cfg(test)]
mod tests;

use sqlx::{PgConnection, PgPool};

pub use model::{Act, Actor, Flaw, Verdict};
use model::{Hash, StoredAct};
pub use store::{Filter, Listed};

/// Entries that are read at once when the chain is checked.
const PAGE_ROWS: i64 = 1_000;

/// Adds an entry for an act, in the transaction of the act: neither is stored without the other.
///
/// It locks the end of the chain until the transaction ends, and other acts wait for it. So it is
/// the last statement before the commit, after [`crate::db::fence::revoke`] too.
///
/// The entry is readable by all administrators and kept for good: no password, code, token or mail
/// address belongs into [`Act::detail`].
///
/// # Errors
/// Returns the error of a statement. The transaction must not be committed then.
pub async fn record(tx: &mut PgConnection, act: Act<'_>) -> Result<(), sqlx::Error> {
    let head = store::lock_head(tx).await?;
    let (at, detail) = store::stamp(tx, &act.detail).await?;
    let stored = StoredAct {
        id: head.id + 1,
        at,
        actor: act.actor.id(),
        actor_name: act.actor.name().to_owned(),
        action: act.action.to_owned(),
        subject: act.subject.to_owned(),
        detail,
        prefix_hash: act.prefix_hash.map(<[u8]>::to_vec),
    };
    let hash = stored.hash_after(&head.hash);
    store::append(tx, &stored, &act.detail, &hash).await
}

/// Returns the newest entries of a filter before one, at most `limit`. `None` begins with the newest.
///
/// # Errors
/// Returns the error of the query.
pub async fn list(
    db: &PgPool,
    filter: &Filter<'_>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Listed>, sqlx::Error> {
    store::list(db, filter, before, limit).await
}

/// Returns the actions that the log has, in order.
///
/// # Errors
/// Returns the error of the query.
pub async fn actions(db: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    store::actions(db).await
}

/// Records the start of another version than the last one, for the charts. Two nodes that start at
/// the same time record it once.
///
/// # Errors
/// Returns the error of a statement.
pub async fn record_version(db: &PgPool, version: &str) -> Result<(), sqlx::Error> {
    const ACTION: &str = "server.updated";
    let mut tx = db.begin().await?;
    store::lock_head(&mut tx).await?;
    if store::last_subject(&mut tx, ACTION).await?.as_deref() != Some(version) {
        let detail = serde_json::json!({});
        let act = Act { actor: Actor::System, action: ACTION, subject: version, detail, prefix_hash: None };
        record(&mut tx, act).await?;
    }
    tx.commit().await
}

/// Reads the whole log in pages and checks that every row follows the one before. One snapshot:
/// acts that are recorded meanwhile do not matter.
///
/// It finds every change that does not also compute all later hashes again. A superuser of the
/// database can do that. It is only found by comparing [`Verdict::Whole`] with an earlier one that
/// was noted elsewhere.
///
/// # Errors
/// Returns the error of a query.
pub async fn verify(db: &PgPool) -> Result<Verdict, sqlx::Error> {
    verify_with_progress(db, |_, _| ()).await
}

/// As [`verify`]. `progress` is called after each page with the number of entries that were checked,
/// and of all.
///
/// # Errors
/// As [`verify`].
pub async fn verify_with_progress(db: &PgPool, progress: impl Fn(i64, i64)) -> Result<Verdict, sqlx::Error> {
    let mut tx = store::snapshot(db).await?;
    let Some(head) = store::head(&mut tx).await? else { return Ok(Verdict::broken(0, Flaw::NoHead)) };
    let (mut last, mut hash) = (0, Hash::START);
    loop {
        let page = store::page(&mut tx, last, PAGE_ROWS).await?;
        if page.is_empty() {
            break;
        }
        for (act, stored) in page {
            if act.id != last + 1 {
                return Ok(Verdict::broken(last + 1, Flaw::Missing));
            }
            let computed = act.hash_after(&hash);
            if stored != computed {
                return Ok(Verdict::broken(act.id, Flaw::Changed));
            }
            (last, hash) = (act.id, computed);
        }
        progress(last, head.id);
    }
    tx.commit().await?;
    Ok(match last.cmp(&head.id) {
        std::cmp::Ordering::Less => Verdict::broken(last + 1, Flaw::Missing),
        std::cmp::Ordering::Greater => Verdict::broken(head.id + 1, Flaw::Added),
        std::cmp::Ordering::Equal if hash != head.hash => Verdict::broken(last, Flaw::OtherHead),
        std::cmp::Ordering::Equal => Verdict::Whole { entries: last, head: hash.to_string() },
    })
}
