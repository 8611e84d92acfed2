//! A server's life: the database, the node, the listener, and an orderly end.
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

/// Where a root's data goes when the data folder is closed to Postgres's user.
const FALLBACK: &str = "/var/lib/maju";
/// What of the time of a stop is kept for the writers, the pool and Postgres, after the sockets.
const RESERVE: Duration = Duration::from_secs(5);
/// How often the node's health looks at the private Postgres.
const LOOK: Duration = Duration::from_millis(500);

/// The database of a command: one of the operator's, or the private one.
struct Database {
    pool: PgPool,
    private: Option<private::PrivatePostgres>,
}

impl Database {
    /// Opens, checks and migrates the database. Returns `None`, with nothing left running, when asked to stop meanwhile. `own`: how many
    /// connections a node opens besides the pool; `None` for a command that is no node.
    async fn open(config: &Config, own: Option<u32>, stop: &mut Stop) -> Result<Option<Self>, String> {
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
            () = stop.asked() => Ok(false),
        };
        if let Ok(true) = outcome {
            return Ok(Some(database));
        }
        database.close().await;
        outcome.map(|_| None)
    }

    async fn close(self) {
        // A connection that hangs does not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.pool.close()).await;
        if let Some(private) = self.private {
            private.stop().await;
        }
    }
}

/// Starts the private Postgres. Returns `None` when asked to stop meanwhile: it has been stopped in order then, unless a second
/// signal cut that short.
async fn open_private(config: &Config, stop: &mut Stop) -> Result<Option<private::PrivatePostgres>, String> {
    let place = private::StartOptions {
        data_dir: config.data_dir.clone(),
        fallback_base: PathBuf::from(FALLBACK),
        durable: true,
    };
    let starting = private::start(place, config.pg_bin.clone()).map_err(|why| why.to_string())?;
    let handle = starting.handle();
    tokio::select! {
        opened = starting.finish() => {
            let private = opened.map_err(|why| why.to_string())?;
            tracing::info!(postgres.own = private.is_owner(), "{}", private.describe());
            Ok(Some(private))
        }
        () = stop.asked() => {
            tokio::select! {
                () = handle.stop() => {}
                () = stop.asked() => {}
            }
            Ok(None)
        }
    }
}

/// `maju migrate`: brings the schema to this version.
pub(crate) async fn migrate(config: Config) -> Result<(), String> {
    let mut stop = Stop::listen()?;
    let Some(database) = Database::open(&config, None, &mut stop).await? else {
        return Err("stopped before the database had this version's schema".to_owned());
    };
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
    tracing::info!(start.ms = ms, "Maju is at {}", app.config.site.url);
    http::serve(&app, listener, router::router(&app));
    if let Some(private) = &database.private {
        report_private(&app, private);
    }
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
    if !app.tasks.wait_for_tracked(patience).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some sockets did not end in time");
    }
    app.tasks.stopping.cancel();
    if !app.tasks.wait_for_all(RESERVE / 2).await {
        tracing::warn!(tasks.running = app.tasks.running(), "some tasks did not end in time");
    }
}

/// Has the node's health name the private Postgres while it does not run.
fn report_private(app: &App, private: &private::PrivatePostgres) {
    let (tasks, private) = (app.tasks.clone(), private.clone());
    app.tasks.spawn_essential("private Postgres watch", move || {
        let (tasks, private) = (tasks.clone(), private.clone());
        async move {
            let (mut outage, mut ticks) = (None, tasks.ticks(LOOK));
            while ticks.next().await {
                outage = (!private.is_up()).then(|| outage.take().unwrap_or_else(|| tasks.outage("private Postgres")));
            }
        }
    });
}

/// The signals of a command. SIGTERM, SIGINT (Ctrl-C) and SIGQUIT ask it to stop in order; SIGHUP, SIGUSR1, SIGUSR2 and SIGXFSZ
/// are ignored. SIGPIPE is ignored by Rust's runtime. SIGTSTP (Ctrl-Z) suspends, as everywhere.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Stop {
    fn listen() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|why| format!("cannot listen for signals: {why}"));
        // Once listened to, they do not end the process any more, whether or not somebody asks for them.
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

    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP is ignored: a terminal that closes does not stop the server, and settings are read at the start");
                }
            }
        }
    }
}
