//! Wrong proofs of an account from one address prefix make the next one wait. An owner who comes
//! from another prefix never waits for what strangers do.
//!
//! A proof is counted as a failure before it is evaluated and taken back if it was right, so that
//! many at the same time cannot pass the check together. Names that do not exist are counted in the
//! same way, so the wait tells nothing about them.
use std::time::Duration;

use super::store;
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key, Prefix};

/// A proof that was counted as a failure.
pub(in crate::accounts) struct Reserved {
    handle: Vec<u8>,
    prefix: Vec<u8>,
}

/// Counts a proof that is about to be evaluated.
///
/// # Errors
/// `rate_limited` with the wait, `unavailable`.
pub(in crate::accounts) async fn reserve(app: &App, handle: &str, prefix: Prefix) -> Result<Reserved> {
    app.limits.take(Bucket::Proofs, Key::Prefix(prefix))?;
    let reserved = Reserved::of(app, handle, prefix);
    if faults::on(Fault::ThrottleOff) {
        return Ok(reserved);
    }
    match store::reserve_proof(&app.db, &reserved.handle, &reserved.prefix).await? {
        Some(_) => Ok(reserved),
        None => {
            let ms = store::wait_ms(&app.db, &reserved.handle, &reserved.prefix).await?;
            Err(Error::RateLimited { after: Duration::from_millis(ms.unsigned_abs()) })
        }
    }
}

impl Reserved {
    /// Names the failures of an account from a prefix, and counts none.
    pub(in crate::accounts) fn of(app: &App, handle: &str, prefix: Prefix) -> Self {
        // Under this fault a failed proof locks the account for everybody.
        let prefix =
            if faults::on(Fault::ThrottleLocksEverybody) { Vec::new() } else { app.accounts.prefix_hash(prefix) };
        Self { handle: app.accounts.keyed_hash("handle", handle.as_bytes()), prefix }
    }

    /// Takes the failure back: the proof was right, or was not evaluated. Earlier failures stay.
    ///
    /// # Errors
    /// `unavailable`.
    pub(in crate::accounts) async fn refund(&self, app: &App) -> Result<()> {
        Ok(store::refund_proof(&app.db, &self.handle, &self.prefix).await?)
    }

    /// Forgets all failures of this account from this prefix: every proof was right.
    ///
    /// # Errors
    /// `unavailable`.
    pub(in crate::accounts) async fn clear(&self, app: &App) -> Result<()> {
        Ok(store::clear_failures(&app.db, &self.handle, &self.prefix).await?)
    }
}
