//! Imports accounts: everything a file holds in one transaction, or nothing.
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::model::{Plan, Row};
use super::{django, record, spreadsheet, store, taken};
use crate::accounts::{Alias, passwords};
use crate::error::Result;
use crate::locale::Locale;

/// Rows that are written with one statement.
const BATCH_ROWS: usize = 1_000;

/// Reads a CSV file with accounts.
///
/// # Errors
/// Returns why no row can be read.
pub fn read_csv(text: &str) -> Result<Plan, String> {
    spreadsheet::read(text)
}

/// Reads the JSON of Django's `dumpdata`.
///
/// # Errors
/// Returns why no entry can be read.
pub fn read_django(text: &str) -> Result<Plan, String> {
    django::read(text)
}

/// What was imported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub accounts: usize,
    pub staff: usize,
    /// Accounts with a password of the earlier system.
    pub legacy: usize,
    /// Accounts that nobody can sign in to with a password.
    pub without_password: usize,
    pub deactivated: usize,
}

/// Imports the rows of a plan. `file` is the text they were read from, whose hash is recorded.
/// `progress` is called with the number of rows that are written. With `is_trial` everything is
/// done and then rolled back.
///
/// If there is a problem, or a handle is taken, nothing is imported and the problems are in the plan.
///
/// # Errors
/// `unavailable`, `internal`.
pub async fn import(
    db: &PgPool,
    plan: &mut Plan,
    file: &str,
    is_trial: bool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Imported>> {
    let mut tx = db.begin().await?;
    for batch in plan.rows.chunks(BATCH_ROWS) {
        let handles: Vec<&str> = batch.iter().map(|row| row.handle.as_str()).collect();
        let taken = store::taken(&mut tx, &handles).await?;
        let places = batch.iter().filter(|row| taken.contains(&row.handle));
        let problem = |row: &Row| format!("{}: an account with the handle '{}' exists", row.place, row.handle);
        plan.problems.extend(places.map(problem));
    }
    if !plan.problems.is_empty() {
        return Ok(None);
    }
    let mut written = 0;
    for batch in plan.rows.chunks(BATCH_ROWS) {
        let aliases: Vec<Alias> = batch.iter().map(|_| Alias::random(&mut rand::rng())).collect();
        store::insert_many(&mut tx, batch, &aliases, Locale::default()).await.map_err(taken)?;
        written += batch.len();
        progress(written);
    }
    let imported = count(&plan.rows);
    for row in plan.rows.iter().filter(|row| row.role.is_staff()) {
        record(&mut tx, "account.added", &row.handle, json!({"role": row.role.as_str(), "by": "import"})).await?;
    }
    let hash: String = Sha256::digest(file).iter().map(|byte| format!("{byte:02x}")).collect();
    let detail = json!({"accounts": imported.accounts, "staff": imported.staff, "file_sha256": hash});
    record(&mut tx, "accounts.imported", "(accounts)", detail).await?;
    if is_trial {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(Some(imported))
}

fn count(rows: &[Row]) -> Imported {
    let count = |is: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    Imported {
        accounts: rows.len(),
        staff: count(&|row| row.role.is_staff()),
        legacy: count(&|row| row.password.as_deref().is_some_and(passwords::is_legacy)),
        without_password: count(&|row| row.password.is_none()),
        deactivated: count(&|row| row.is_deactivated),
    }
}
