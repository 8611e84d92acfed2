//! The cookie's record on our own Postgres (tower-sessions' `SessionStore`). Only a hash of the identifier is stored.
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};

use super::store::{self, IdHash, NewSession, StoredSession};
use super::{SILENCE, VISITOR};
use crate::db::Loader;

/// Sessions in Postgres.
#[derive(Clone)]
pub struct Sessions {
    db: PgPool,
    loader: Arc<Loader<IdHash, StoredSession>>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// A store over the node's pool.
    pub fn new(db: PgPool) -> Self {
        Self { db, loader: Arc::default() }
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> Result<()> {
        loop {
            if store::create_session(&self.db, &hash(&record.id), &stored(record)?).await.map_err(backend)? {
                return Ok(());
            }
            record.id = Id::default(); // taken: draw again
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        if !store::save_session(&self.db, &hash(&record.id), &stored(record)?).await.map_err(backend)? {
            tracing::debug!("a session that had ended was not revived");
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let fetch = |hashes| store::load_sessions(&self.db, hashes, SILENCE);
        let found = self.loader.load(hash(id), fetch).await.map_err(failed)?;
        let Some(found) = found else { return Ok(None) };
        let data = serde_json::from_value(found.data).map_err(|why| {
            tracing::error!(error.cause = %why, "a stored session cannot be read");
            Error::Decode(why.to_string())
        })?;
        Ok(Some(Record { id: *id, data, expiry_date: found.expires_at }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        store::delete_session(&self.db, &hash(id)).await.map_err(backend)
    }
}

/// The record's own expiry is by this machine's clock, and not stored.
fn stored(record: &Record) -> Result<NewSession> {
    let visitor = record.data.get(VISITOR).and_then(Value::as_i64);
    let data = serde_json::to_value(&record.data).map_err(|why| Error::Encode(why.to_string()))?;
    Ok(NewSession { visitor, data, silence: SILENCE })
}

/// What a session is found by.
pub(super) fn hash(id: &Id) -> IdHash {
    Sha256::digest(id.0.to_le_bytes()).into()
}

fn backend(why: sqlx::Error) -> Error {
    failed(why.into())
}

/// The layer above does not log (`telemetry/mod.rs`): it would for each request.
fn failed(why: crate::error::Error) -> Error {
    why.log();
    Error::Backend(why.to_string())
}
