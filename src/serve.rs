//! Runs a server: opens the database, starts the node and the listener, and stops them in order.
use std::time::Duration;

use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::db::{self, private};
use crate::realtime::Relay;
use crate::signals::StopSignals;
use crate::{accounts, audit, exporter, http, router};

/// The part of the time for a stop that is reserved for the writers, the pool and Postgres, after
/// the sockets.
const STOP_RESERVE: Duration = Duration::from_secs(5);
/// Time between two checks of the private Postgres.
const PRIVATE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

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
    let metrics_listener = bind_metrics(&config).await?;
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
    if let Some(listener) = metrics_listener {
        exporter::serve(&app, listener);
    }
    offer_first_admin(&app).await;
    note_version(&app).await;
    if let Err(why) = accounts::staff::note_site(&app).await {
        tracing::debug!(error.cause = %why, "the site's address was not stored for the links of maju admin");
    }
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

/// Returns the listener for metrics. `None` if there is none.
async fn bind_metrics(config: &Config) -> Result<Option<TcpListener>, String> {
    let Some(address) = config.metrics_listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await.map_err(|why| {
        format!("cannot listen on {address} for metrics: {why}. Choose another port with --metrics-listen")
    })?;
    Ok(Some(listener))
}

/// Logs the link to the first administrator's page if the site has no administrator.
async fn offer_first_admin(app: &App) {
    match accounts::offer_first_admin(app).await {
        Ok(Some(link)) => {
            tracing::warn!(
                "there is no administrator yet: open this link within an hour to become the first one: {link}"
            )
        }
        Ok(None) => {}
        Err(why) => tracing::warn!(error.cause = %why, "whether there is an administrator could not be read"),
    }
}

/// Records the start of a new version, which the charts of the back-office mark.
async fn note_version(app: &App) {
    let noted = audit::record_version(&app.db, env!("CARGO_PKG_VERSION"));
    if let Err(why) = db::with_timeout(db::JOB_TIMEOUT, noted).await {
        tracing::warn!(error.cause = %why, "the start of this version was not recorded");
    }
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
