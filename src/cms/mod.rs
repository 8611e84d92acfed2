//! The landing page and the pages about the site: sections, numbers, announcements. Pages are rendered
//! from a snapshot in memory; requests run no SQL.
mod arranged;
mod arrival;
mod banners;
mod editors;
mod facts;
mod formatted_stat;
mod insights;
mod kind;
#[cfg(test)]
mod landing_tests;
pub mod limits;
mod live;
mod markdown;
#[cfg(test)]
mod markdown_tests;
mod media_tag;
mod model;
mod page;
#[cfg(test)]
mod page_tests;
mod routes;
mod sections;
mod snapshot;
mod stats;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use self::snapshot::{Contents, Snapshot};
use crate::accounts;
use crate::app::App;
use crate::error::{Error, Result};
use crate::http::Appearance;
use crate::locale::Locale;
use crate::matching;

pub use arrival::announce;
pub use banners::{Banner, BannerChange, Place, Tone, banner, banners, delete_banner, save_banner};
pub use kind::Kind;
pub use model::{Page, PageSection};
pub use page::not_found_page;
pub use routes::{admin_api, api, router};
pub use sections::{
    Change, Editor, NewSection, Section, SectionVersion, State as SectionState, VersionKind, add_section,
    cancel_schedule, delete_section, deleted_sections, order_sections, publish_section, restore_deleted,
    restore_section, save_section, section_versions, sections, unpublish_section,
};
pub use stats::{
    Label, LiveCounts, NewStat, Source, Stat, StatChange, Unit, add_stat, delete_stat, order_stats, restore_stat,
    save_stat, stat_history, stats,
};

/// A refresh is followed by a pause of at least this many times its duration, so that counting
/// takes at most 1/20 of a node's time, no matter how many talks there are.
const PAUSE_FACTOR: u32 = 20;

/// Time after which a refresh has failed.
const REFRESH_DEADLINE: Duration = Duration::from_secs(5);

/// The last good snapshot. Before the first refresh: the built-in sections, and no stats.
pub struct State {
    current: watch::Sender<Arc<Snapshot>>,
    refresh_requested: Notify,
    /// When the messages of the day were counted last, and how many they were.
    messages_today: Mutex<Option<(OffsetDateTime, i64)>>,
    live: live::State,
}

impl Default for State {
    fn default() -> Self {
        let snapshot = Snapshot::of(Contents::default());
        Self {
            current: watch::Sender::new(Arc::new(snapshot)),
            refresh_requested: Notify::new(),
            messages_today: Mutex::default(),
            live: live::State::default(),
        }
    }
}

impl State {
    fn current(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Replaces the contents. Equal contents keep the pages that were rendered from them.
    fn replace(&self, contents: Contents) {
        let current = self.current();
        if *current.contents() != contents {
            self.current.send_replace(Arc::new(current.followed_by(contents)));
        }
    }

    /// Marks the stats as stale: pages show when they were read, and no topics.
    fn mark_stale(&self, as_of: OffsetDateTime) {
        let mut stale = self.current().contents().clone();
        stale.stats.iter_mut().filter(|stat| stat.hide_when_stale).for_each(|stat| stat.value = None);
        self.replace(Contents { as_of: Some(as_of), topics: Vec::new(), ..stale });
    }
}

/// Starts the task that refreshes the snapshot.
pub fn run(app: &App) {
    let node = app.clone();
    app.tasks.spawn_essential("cms.snapshot", move || {
        let node = node.clone();
        async move {
            node.tasks.stopping.clone().run_until_cancelled(refresh_loop(&node)).await;
        }
    });
    arrival::run(app);
    insights::run(app);
    stats::run_history(app);
    sections::run_schedule(app);
    sections::run_sweep(app);
}

/// Returns the places of the pages that name an image, in a few words each: `landing, hero (ko)`.
///
/// # Errors
/// `unavailable`.
pub async fn image_places(app: &App, image: Uuid) -> Result<Vec<String>> {
    let sections = store::sections_with_image(&app.db, image).await?;
    Ok(sections.into_iter().map(|(page, kind, locale)| format!("{page}, {kind} ({locale})")).collect())
}

/// Requests a refresh at once, such as after an editor has published a change.
pub fn refresh_now(app: &App) {
    app.cms.refresh_requested.notify_one();
}

/// Warns that visitors find no way to reach the operator: there is no address in the settings, and
/// nobody has changed the page that says so.
fn warn_without_contact(app: &App) {
    let snapshot = app.cms.current();
    let is_first_text = |locale: Locale| {
        let shown = snapshot.sections(Page::Contact, locale).iter().map(|shown| &shown.section);
        shown.eq(&model::built_in(Page::Contact, locale))
    };
    if app.config.contact.is_none() && Locale::ALL.into_iter().all(is_first_text) {
        tracing::warn!(
            "the contact page names nobody: set MAJU_CONTACT, or write the page's sections in the back-office"
        );
    }
}

async fn refresh_loop(app: &App) {
    let mut last_good = None;
    let mut failing = false;
    loop {
        let began = Instant::now();
        let now = app.clock.now();
        match refresh(app, now).await {
            Ok(()) => {
                if last_good.is_none() {
                    warn_without_contact(app);
                }
                last_good = Some((now, app.clock.instant()));
                failing = false;
            }
            Err(cause) if !failing => {
                failing = true;
                tracing::warn!(error.cause = %cause, "cannot refresh the landing page; it keeps its last sections and stats");
            }
            Err(_) => {}
        }
        if let Some((read_at, since)) = last_good
            && app.clock.instant() - since > limits::STATS_STALE_AFTER
        {
            app.cms.mark_stale(read_at);
        }
        let pause = limits::REFRESH_INTERVAL.max(began.elapsed() * PAUSE_FACTOR);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.cms.refresh_requested.notified() => {}
        }
    }
}

async fn refresh(app: &App, now: OffsetDateTime) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let contents = tokio::time::timeout(REFRESH_DEADLINE, async {
        let mut tx = store::consistent(&app.db).await?;
        let contents = read(app, &mut tx, now).await?;
        let rules = accounts::rules_edition(&mut tx).await?;
        tx.commit().await?;
        accounts::use_rules_edition(app, &rules);
        Ok::<_, sqlx::Error>(contents)
    });
    let mut contents = contents.await??;
    contents.topics = matching::popular_topics(app, limits::MAX_TOPICS).await;
    app.cms.replace(contents);
    Ok(())
}

/// Renders a page with drafts instead of what was published. `drafts` are all sections of the page
/// in all languages; those of other pages are ignored.
///
/// # Errors
/// `internal` if a template fails.
pub fn draft_page(app: &App, page: Page, appearance: Appearance, drafts: &[Section]) -> Result<String> {
    let snapshot = app.cms.current().with_candidates(page, sections::drafts(drafts, page));
    page::render(&snapshot, page, appearance, &app.config).map_err(Error::internal)
}

/// Reads everything that the page shows but the topics.
///
/// # Errors
/// The database's.
async fn read(app: &App, db: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<Contents> {
    let version = store::content_version(db).await?;
    let sections = store::sections(db).await?;
    let rooms = store::public_rooms(db, limits::MAX_ROOMS).await?;
    let insights = insights::read(db, now, &app.config.time_zone).await?;
    let stats = stats::read_shown(app, db, now).await?;
    let banners = banners::read_current(db, now).await?;
    Ok(Contents { version, sections, stats, topics: Vec::new(), rooms, insights, banners, as_of: None })
}
