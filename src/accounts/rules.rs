//! The edition of the rules in force: a node keeps it in memory, and every visitor that it reads
//! looks there.
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use sqlx::PgConnection;

use super::model::RULES_VERSION;
use super::store;
use crate::app::App;

/// The edition of the rules in force on a node. Copies see a new one at once.
#[derive(Clone)]
pub struct RulesInForce(Arc<RwLock<Arc<str>>>);

impl Default for RulesInForce {
    fn default() -> Self {
        Self::of(RULES_VERSION)
    }
}

impl fmt::Debug for RulesInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RulesInForce").field(&self.current()).finish()
    }
}

impl RulesInForce {
    /// Creates the memory of a node that has read an edition.
    pub(super) fn of(version: &str) -> Self {
        Self(Arc::new(RwLock::new(version.into())))
    }

    /// Returns the edition.
    pub fn current(&self) -> Arc<str> {
        self.0.read().clone()
    }

    /// Returns `true` if this is the edition in force.
    pub(super) fn is(&self, version: &str) -> bool {
        **self.0.read() == *version
    }
}

/// Puts a new edition of the rules in force, in the transaction that publishes it. Each visitor has
/// to accept it before the next talk. Nodes learn of it by [`rules_edition`].
///
/// # Errors
/// Those of the database.
pub async fn put_rules_in_force(tx: &mut PgConnection, version: &str) -> sqlx::Result<()> {
    store::set_rules_edition(tx, version).await
}

/// Reads the edition of the rules in force.
///
/// # Errors
/// Those of the database.
pub async fn rules_edition(db: &mut PgConnection) -> sqlx::Result<String> {
    store::rules_edition(db).await
}

/// Takes over the edition that was read: from now on this node asks for it.
pub fn use_rules_edition(app: &App, version: &str) {
    let rules = &app.accounts.rules;
    if !rules.is(version) {
        *rules.0.write() = version.into();
    }
}
