//! A server's life: the database, the node, the listener, and an orderly end.
use std::path::PathBuf;
use std::time::Duration;

use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::app::{self, App, Clock};
use crate::config::Config;
use crate::connection_url;
use crate::db::{self, private};
use crate::realtime::Relay;
use crate::{http, router};

/// Where a root's data goes when the data folder is closed to Postgres's user.
const FALLBACK: &str = "/var/lib/maju";
/// What of the time of a stop is kept for the writers, the pool and Postgres, after the sockets.
const RESERVE: Duration = Duration::from_secs(5);

/// The database of a command: one of the operator's, or the private one.
struct Database {
    pool: PgPool,
    private: Option<private::PrivatePostgres>,
}

impl Database {
    /// Opens it, and checks it. `own`: how many connections a node opens besides the pool; `None` for a command that is no node.
    async fn open(config: &Config, own: Option<u32>) -> Result<Self, String> {
        let database = match &config.database_url {
            Some(url) => {
                let options = connection_url::postgres(url).map_err(|why| format!("--database-url {why}"))?.options;
                Self { pool: db::pool(options), private: None }
            }
            None => {
                let place = private::Place {
                    data_dir: config.data_dir.clone(),
                    fallback_base: PathBuf::from(FALLBACK),
                    durable: true,
                };
                let private = private::open_using(place, config.pg_bin.clone()).await.map_err(|why| why.to_string())?;
                tracing::info!(postgres.own = private.is_owner(), "{}", private.describe());
                Self { pool: db::pool(private.connect_options()), private: Some(private) }
            }
        };
        let prepared = async {
            db::check(&database.pool, config.unsafe_database, own).await?;
            db::migrate(&database.pool).await
        };
        match prepared.await {
            Ok(()) => Ok(database),
            Err(why) => {
                database.close().await;
                Err(why)
            }
        }
    }

    async fn close(self) {
        // A connection that hangs does not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.pool.close()).await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// `maju migrate`: brings the schema to this version.
pub(crate) async fn migrate(config: Config) -> Result<(), String> {
    let database = Database::open(&config, None).await?;
    tracing::info!("the database has this version's schema");
    database.close().await;
    Ok(())
}

/// `maju serve`: runs until it is asked to stop. Errors: one line that says what to do.
pub(crate) async fn serve(config: Config) -> Result<(), String> {
    let began = Instant::now();
    let mut stop = Stop::listen()?;
    // First, so that a taken port is said before anything is started.
    let listener = TcpListener::bind(config.listen).await.map_err(|why| {
        format!("cannot listen on {}: {why}. Is another server there? Choose another with --listen", config.listen)
    })?;
    let database = tokio::select! {
        opened = Database::open(&config, Some(app::own_connections())) => opened?,
        () = stop.asked() => return Ok(()),
    };
    let started = async {
        let relay = relay(&config, &database.pool).await?;
        App::start(config, database.pool.clone(), relay, Clock::default()).await.map_err(|why| why.to_string())
    };
    let app = match started.await {
        Ok(app) => app,
        Err(why) => {
            database.close().await;
            return Err(format!("cannot start: {why}"));
        }
    };
    let ms = began.elapsed().as_millis();
    tracing::info!(start.ms = ms, "Maju is at {}", app.config.site.url);
    http::serve(&app, listener, router::router(&app));
    let tasks = app.tasks.clone();
    stop.asked().await;
    tracing::info!("stopping; a second signal stops at once");
    let within = app.config.stop_within;
    tokio::select! {
        () = stop_in_order(app, within) => {}
        () = stop.asked() => {
            tracing::warn!("stopped at once; what was acknowledged is safe");
            tasks.stopping.cancel();
        }
    }
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// The way to the other nodes of the service.
async fn relay(config: &Config, pool: &PgPool) -> Result<Relay, String> {
    let Some(url) = &config.redis_url else { return Ok(Relay::in_process()) };
    let service = db::service::id(pool).await.map_err(|why| why.to_string())?;
    Relay::over_redis(url, service).map_err(|why| format!("--redis-url {why}"))
}

/// Not ready, nothing new; what is in hand is finished and sockets are told when to come back; then the tasks end.
async fn stop_in_order(app: App, within: Duration) {
    app.tasks.draining.cancel();
    let patience = within.saturating_sub(RESERVE).max(Duration::from_secs(1));
    if !app.tasks.let_go(patience).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some sockets did not end in time");
    }
    app.tasks.stopping.cancel();
    if !app.tasks.finish(RESERVE / 2).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some tasks did not end in time");
    }
}

/// What asks a server to stop: SIGTERM, or Ctrl-C.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|why| format!("cannot listen for signals: {why}"));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
