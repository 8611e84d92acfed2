//! The session store of `tower-sessions` on our own Postgres. Only a hash of the identifier in the
//! cookie is stored.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

use super::limits::SESSION_IDLE_TIMEOUT;
use super::store::{self, SessionHash, SessionRow, StoredSession};
use super::{SIGNED_IN_KEY, VISITOR_KEY};
use crate::db::Loader;
use crate::ids::VisitorId;

/// Sessions in Postgres.
#[derive(Clone)]
pub struct Sessions {
    db: PgPool,
    loader: Arc<Loader<SessionHash, StoredSession>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// Creates a store that uses the node's pool.
    pub fn new(db: PgPool) -> Self {
        Self { db, loader: Arc::default() }
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        loop {
            let inserted = store::create_session(&self.db, &hash_id(&record.id), &row(record)?).await;
            if inserted.map_err(database_error)? {
                return Ok(());
            }
            record.id = Id::default(); // the id is taken: draw another
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let saved = store::save_session(&self.db, &hash_id(&record.id), &row(record)?).await;
        if !saved.map_err(database_error)? {
            tracing::debug!("the session ended before its data was saved; it stays ended");
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let fetch = |hashes| store::load_sessions(&self.db, hashes, SESSION_IDLE_TIMEOUT);
        let found = self.loader.load(hash_id(id), fetch).await.map_err(logged)?;
        let Some(found) = found else { return Ok(None) };
        let unreadable = |why: serde_json::Error| {
            tracing::error!(error.cause = %why, "a stored session cannot be read");
            Error::Decode(why.to_string())
        };
        let mut data: HashMap<String, Value> = serde_json::from_value(found.data).map_err(unreadable)?;
        // What the columns say goes along with the data; `row` does not write it back.
        data.remove(SIGNED_IN_KEY);
        if let Some(signed_in) = found.signed_in {
            data.insert(SIGNED_IN_KEY.to_owned(), serde_json::to_value(signed_in).map_err(unreadable)?);
        }
        Ok(Some(Record { id: *id, data, expiry_date: found.expires_at }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        store::delete_session(&self.db, &hash_id(id)).await.map_err(database_error)
    }
}

/// Returns the columns of a record. Its own expiry is by this machine's clock and is not stored.
fn row(record: &Record) -> Result<SessionRow> {
    let visitor = record.data.get(VISITOR_KEY).and_then(|id| id.as_i64()).map(VisitorId);
    let data: HashMap<&String, &Value> = record.data.iter().filter(|(key, _)| *key != SIGNED_IN_KEY).collect();
    let data = serde_json::to_value(data).map_err(|why| Error::Encode(why.to_string()))?;
    Ok(SessionRow { visitor, data, idle_timeout: SESSION_IDLE_TIMEOUT })
}

/// Returns the hash by which a session is stored.
pub(super) fn hash_id(id: &Id) -> SessionHash {
    Sha256::digest(id.0.to_le_bytes()).into()
}

fn database_error(why: sqlx::Error) -> Error {
    logged(why.into())
}

/// Logs an error here: the session layer's own log is filtered out (`telemetry/mod.rs`), because it
/// writes a line per request.
fn logged(why: crate::error::Error) -> Error {
    why.log();
    Error::Backend(why.to_string())
}
