//! The application: what every verb may ask for. It starts from its pool, its relay and its clock, so that two nodes run in one test.
use std::ops::Deref;
use std::sync::Arc;

use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::Result;
use crate::realtime::{Hub, Relay};
use crate::tasks::Tasks;
use crate::{accounts, cms, db, http, matching, moderation, ready, rooms};

/// A node of the service. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// How many database connections a node holds besides those of its pool.
pub fn own_connections() -> u32 {
    rooms::own_connections() + matching::own_connections()
}

/// The parts of a node. Each noun keeps its own state behind its own door.
pub struct Parts {
    pub config: Config,
    /// This start of this node; leases and tickets carry it.
    pub node: Uuid,
    pub clock: Clock,
    pub tasks: Tasks,
    pub db: PgPool,
    pub hub: Hub,
    pub relay: Relay,
    pub limits: http::RateLimiter,
    pub accounts: accounts::State,
    pub moderation: moderation::State,
    pub rooms: rooms::State,
    pub matching: matching::State,
    pub cms: cms::State,
    pub ready: ready::State,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Builds a node over a migrated database and starts its tasks (writers, feed, matcher, sweepers).
    pub async fn start(config: Config, db: PgPool, relay: Relay, clock: Clock) -> Result<Self> {
        let requested_at = Instant::now();
        clock.sync(db::now(&db).await?, requested_at);
        let (rooms, queues) = rooms::State::new();
        let node = Uuid::new_v4();
        let app = Self(Arc::new(Parts {
            node,
            tasks: Tasks::default(),
            hub: Hub::new(relay.clone(), node),
            limits: http::RateLimiter::new(&config),
            accounts: db::with_timeout(db::JOB_TIMEOUT, accounts::State::new(&db, &config.site)).await?,
            moderation: db::with_timeout(db::JOB_TIMEOUT, moderation::State::new(&db)).await?,
            matching: matching::State::default(),
            cms: cms::State::default(),
            ready: ready::State::default(),
            rooms,
            relay,
            clock,
            db,
            config,
        }));
        if let Some(carry) = app.relay.connect(app.node, app.tasks.stopping.clone()) {
            app.tasks.spawn_essential("relay", carry);
        }
        moderation::run(&app);
        rooms::run(&app, queues);
        matching::run(&app);
        accounts::run(&app);
        cms::run(&app);
        ready::run(&app);
        Ok(app)
    }

    /// True from the moment the node was requested_at to stop.
    pub fn is_stopping(&self) -> bool {
        self.tasks.draining.is_cancelled()
    }
}
