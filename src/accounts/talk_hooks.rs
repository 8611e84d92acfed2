//! What sign-in needs to know of talks. Accounts know nothing of matching, so the router hands it in.
use futures_util::future::BoxFuture;

use super::Visitor;
use crate::app::App;
use crate::error::Result;

/// The verbs of matching that sign-in calls: nobody leaves an open talk without being asked.
#[derive(Clone, Copy)]
pub struct TalkHooks {
    /// Returns `true` if the visitor is in an open talk.
    pub is_open: for<'a> fn(&'a App, &'a Visitor) -> BoxFuture<'a, Result<bool>>,
    /// Ends the visitor's open talk. Does nothing if there is none.
    pub leave: for<'a> fn(&'a App, &'a Visitor) -> BoxFuture<'a, Result<()>>,
}
