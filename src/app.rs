//! The application: the state of a node. It starts from its pool, its relay and its clock, so that
//! two nodes run in one test.
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
use crate::{accounts, admin, cms, db, http, matching, media, metrics, moderation, notify, ready, rooms, samples};

/// A handle to a node of the service. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// Returns how many database connections a node has besides those of its pool.
pub fn own_connections() -> u32 {
    rooms::own_connections() + matching::own_connections()
}

/// The parts of a node. The state of each noun is private to that noun.
pub struct Parts {
    pub config: Config,
    /// Identifies this node since this start, in leases and tickets.
    pub node: Uuid,
    pub clock: Clock,
    pub tasks: Tasks,
    pub metrics: Arc<metrics::Metrics>,
    pub db: PgPool,
    pub hub: Hub,
    pub relay: Relay,
    pub limits: http::RateLimiter,
    pub traffic: Arc<http::Traffic>,
    pub accounts: accounts::State,
    pub moderation: moderation::State,
    pub rooms: rooms::State,
    pub matching: matching::State,
    pub cms: cms::State,
    pub media: media::State,
    pub notify: notify::State,
    pub ready: ready::State,
    pub admin: admin::State,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Builds a node on a migrated database and starts its tasks (writers, feed, matcher,
    /// sweepers).
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn start(config: Config, db: PgPool, relay: Relay, clock: Clock) -> Result<Self> {
        let requested_at = Instant::now();
        clock.sync(db::now(&db).await?, requested_at);
        let (rooms, queues) = rooms::State::new();
        let node = Uuid::new_v4();
        let app = Self(Arc::new(Parts {
            node,
            tasks: Tasks::default(),
            metrics: Arc::default(),
            hub: Hub::new(relay.clone(), node),
            limits: http::RateLimiter::new(&config),
            traffic: Arc::default(),
            accounts: db::with_timeout(db::JOB_TIMEOUT, accounts::State::new(&db, &config.site)).await?,
            moderation: db::with_timeout(db::JOB_TIMEOUT, moderation::State::new(&db)).await?,
            matching: matching::State::default(),
            cms: cms::State::default(),
            media: media::State::new(&config),
            notify: notify::State::new(&config),
            ready: ready::State::default(),
            admin: admin::State::default(),
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
        media::run(&app);
        notify::run(&app);
        samples::run(&app);
        ready::run(&app);
        admin::run(&app);
        Ok(app)
    }

    /// Returns `true` from the moment the node is asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.tasks.draining.is_cancelled()
    }
}
