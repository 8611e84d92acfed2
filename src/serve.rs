//! Runs a server: opens the database, starts the node and the listener, and stops them in order.
use std::path::PathBuf;
use std::time::Duration;

use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::Config;
use crate::connection_url;
use crate::db::{self, private};
use crate::realtime::Relay;
use crate::{http, router};

/// The parent of fallback folders, for root: used if Postgres's user cannot enter the data folder.
const FALLBACK_BASE: &str = "/var/lib/maju";
/// The part of the time for a stop that is reserved for the writers, the pool and Postgres, after
/// the sockets.
const STOP_RESERVE: Duration = Duration::from_secs(5);
/// Time between two checks of the private Postgres.
const PRIVATE_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a stop waits until the pool is closed.
const POOL_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The database of a command: the operator's server, or the private Postgres.
struct Database {
    pool: PgPool,
    private: Option<private::PrivatePostgres>,
}

impl Database {
    /// Opens, checks and migrates the database. `None` if a stop was requested meanwhile; nothing
    /// is left running then. `own` is the number of connections that a node opens outside the pool;
    /// `None` for a command that starts no node.
    ///
    /// # Errors
    /// Returns one line that names the problem and what to do.
    async fn open(config: &Config, own: Option<u32>, stop: &mut StopSignals) -> Result<Option<Self>, String> {
        let database = match &config.database_url {
            Some(url) => {
                let options = connection_url::postgres(url).map_err(|why| format!("--database-url {why}"))?.options;
                Self { pool: db::pool(options), private: None }
            }
            None => {
                let Some(private) = open_private(config, stop).await? else { return Ok(None) };
                Self { pool: db::pool(private.connect_options()), private: Some(private) }
            }
        };
        let prepared = async {
            db::check(&database.pool, config.unsafe_database, own).await?;
            db::check_time_zone(&database.pool, &config.time_zone).await?;
            db::migrate(&database.pool).await
        };
        let outcome = tokio::select! {
            done = prepared => done.map(|()| true),
            () = stop.requested() => Ok(false),
        };
        if let Ok(true) = outcome {
            return Ok(Some(database));
        }
        database.close().await;
        outcome.map(|_| None)
    }

    async fn close(self) {
        // A connection that hangs does not delay the end.
        let _ = tokio::time::timeout(POOL_CLOSE_TIMEOUT, self.pool.close()).await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// Starts the private Postgres. `None` if a stop was requested meanwhile: Postgres has then been
/// stopped in order, unless a second signal interrupted that.
async fn open_private(config: &Config, stop: &mut StopSignals) -> Result<Option<private::PrivatePostgres>, String> {
    let options = private::StartOptions {
        data_dir: config.data_dir.clone(),
        fallback_base: PathBuf::from(FALLBACK_BASE),
        durable: true,
    };
    let starting = private::start(options, config.pg_bin.clone()).map_err(|why| why.to_string())?;
    let handle = starting.handle();
    tokio::select! {
        opened = starting.finish() => {
            let private = opened.map_err(|why| why.to_string())?;
            tracing::info!(postgres.own = private.is_owner(), "{}", private.describe());
            Ok(Some(private))
        }
        () = stop.requested() => {
            tokio::select! {
                () = handle.stop() => {}
                () = stop.requested() => {}
            }
            Ok(None)
        }
    }
}

/// Runs `maju migrate`: brings the schema to this version.
///
/// # Errors
/// Returns one line that names the problem and what to do.
pub(crate) async fn migrate(config: Config) -> Result<(), String> {
    let mut stop = StopSignals::listen()?;
    let Some(database) = Database::open(&config, None, &mut stop).await? else {
        return Err("stopped before the database was migrated".to_owned());
    };
    tracing::info!("the database has the schema of this version");
    database.close().await;
    Ok(())
}

/// Runs `maju serve` until a signal requests a stop.
///
/// # Errors
/// Returns one line that names the problem and what to do.
pub(crate) async fn serve(config: Config) -> Result<(), String> {
    let began = Instant::now();
    let mut stop = StopSignals::listen()?;
    // First, so that a port in use is reported before anything is started.
    let listener = TcpListener::bind(config.listen).await.map_err(|why| {
        format!(
            "cannot listen on {}: {why}. If another server uses the port, choose another one with --listen",
            config.listen
        )
    })?;
    let Some(database) = Database::open(&config, Some(app::own_connections()), &mut stop).await? else { return Ok(()) };
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
    tracing::info!(start.ms = ms, "Maju is ready at {}", app.config.site.url);
    http::serve(&app, listener, router::router(&app));
    if let Some(private) = &database.private {
        watch_private(&app, private);
    }
    let tasks = app.tasks.clone();
    stop.requested().await;
    tracing::info!("stopping; a second signal stops immediately");
    let within = app.config.stop_within;
    tokio::select! {
        () = stop_in_order(app, within) => {}
        () = stop.requested() => {
            tracing::warn!("stopped immediately; acknowledged messages are stored");
            tasks.stopping.cancel();
        }
    }
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Returns the connection to the other nodes of the service.
async fn relay(config: &Config, pool: &PgPool) -> Result<Relay, String> {
    let Some(url) = &config.redis_url else { return Ok(Relay::in_process()) };
    let service = db::service::id(pool).await.map_err(|why| why.to_string())?;
    Relay::over_redis(url, service).map_err(|why| format!("--redis-url {why}"))
}

/// Stops the node: it accepts no new work, finishes work in progress, tells sockets when to
/// reconnect, and then ends its tasks.
async fn stop_in_order(app: App, within: Duration) {
    app.tasks.draining.cancel();
    let drain_timeout = within.saturating_sub(STOP_RESERVE).max(Duration::from_secs(1));
    if !app.tasks.wait_for_tracked(drain_timeout).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some sockets did not end in time");
    }
    app.tasks.stopping.cancel();
    if !app.tasks.wait_for_all(STOP_RESERVE / 2).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some tasks did not end in time");
    }
}

/// Reports an outage while the private Postgres does not run.
fn watch_private(app: &App, private: &private::PrivatePostgres) {
    let (tasks, private) = (app.tasks.clone(), private.clone());
    app.tasks.spawn_essential("private Postgres watch", move || {
        let (tasks, private) = (tasks.clone(), private.clone());
        async move {
            let (mut outage, mut ticks) = (None, tasks.ticks(PRIVATE_CHECK_INTERVAL));
            while ticks.next().await {
                outage = (!private.is_up())
                    .then(|| outage.take().unwrap_or_else(|| tasks.report_outage("private Postgres")));
            }
        }
    });
}

/// The signals of a command. SIGTERM, SIGINT (Ctrl-C) and SIGQUIT request an orderly stop. SIGHUP,
/// SIGUSR1, SIGUSR2 and SIGXFSZ are ignored here, SIGPIPE by Rust's runtime. SIGTSTP (Ctrl-Z)
/// suspends the process as usual.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|why| format!("cannot listen for signals: {why}"));
        // A signal that was listened to once no longer ends the process, even if the listener is
        // dropped.
        let file_too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        for ignored in [SignalKind::user_defined1(), SignalKind::user_defined2(), file_too_large] {
            drop(on(ignored)?);
        }
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn requested(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP is ignored: the server keeps running when its terminal is closed, and reads its settings only at the start");
                }
            }
        }
    }
}
