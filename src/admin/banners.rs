//! Banners: their list, and a form with both languages as visitors see them.
use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use time::OffsetDateTime;

use super::desk::{Area, Desk};
use super::note::{Note, Undo};
use super::sections::{Zone, instant};
use crate::accounts::{Form, Role};
use crate::app::App;
use crate::cms::{self, Banner, BannerChange, Editor, Place, Tone};
use crate::error::{Error, Result};
use crate::locale::{AdminStrings, BannerStrings, Locale};

/// Returns the routes of the banners.
pub(super) fn pages() -> Router<App> {
    Router::new()
        .route("/admin/banners", get(list))
        .route("/admin/banners/new", get(new).post(save_new))
        .route("/admin/banners/{id}", get(edit).post(save))
        .route("/admin/banners/{id}/delete", post(delete).get(|| async { Redirect::to("/admin/banners") }))
}

/// A banner of the list.
struct Row {
    path: String,
    texts: Vec<(&'static str, String)>,
    state: &'static str,
    badge: &'static str,
    when: String,
    places: String,
    tone: &'static str,
}

#[derive(Template)]
#[template(path = "admin/banners/list.html")]
struct List {
    t: &'static AdminStrings,
    rows: Vec<Row>,
}

fn place_name(t: &BannerStrings, place: Place) -> &'static str {
    match place {
        Place::Landing => t.landing,
        Place::Lobby => t.lobby,
        Place::Chat => t.chat,
    }
}

fn row(t: &BannerStrings, zone: &Zone, now: OffsetDateTime, banner: &Banner) -> Row {
    let (state, badge) = if banner.is_shown(now) {
        (t.state_shown, "badge-good")
    } else if banner.starts_at > now {
        (t.state_due, "")
    } else {
        (t.state_ended, "badge-draft")
    };
    let start = zone.text(banner.starts_at);
    let texts = Locale::ALL.iter().filter_map(|locale| Some((locale.tag(), banner.text.get(locale.tag())?.clone())));
    Row {
        path: format!("/admin/banners/{}", banner.id),
        texts: texts.collect(),
        state,
        badge,
        when: match banner.ends_at {
            Some(end) => (t.until)(&start, &zone.text(end)),
            None => (t.from)(&start),
        },
        places: banner.places.iter().map(|place| place_name(t, *place)).collect::<Vec<_>>().join(", "),
        tone: if banner.tone == Tone::Warn { t.warn } else { t.info },
    }
}

async fn list(desk: Desk) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let now = desk.app.clock.now();
    let banners = cms::banners(&desk.app).await?;
    let rows = banners.iter().map(|banner| row(&desk.t().banners, &zone, now, banner)).collect();
    let view = List { t: desk.t(), rows };
    desk.respond(StatusCode::OK, Area::Banners, &[], desk.t().shell.banners, &view).await
}

/// The fields of the form. `*_utc` are milliseconds since 1970, which the script adds.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "text.ko")]
    ko: String,
    #[serde(rename = "text.en")]
    en: String,
    tone: String,
    landing: String,
    lobby: String,
    chat: String,
    start_date: String,
    start_time: String,
    start_utc: String,
    end_date: String,
    end_time: String,
    end_utc: String,
    version: String,
}

impl Fields {
    fn of(banner: &Banner, zone: &Zone) -> Self {
        let text = |locale: Locale| banner.text.get(locale.tag()).cloned().unwrap_or_default();
        let tick = |place| if banner.places.contains(&place) { "on".to_owned() } else { String::new() };
        let ms = |at: OffsetDateTime| (at.unix_timestamp() * 1_000).to_string();
        let (start_date, start_time) = zone.fields(banner.starts_at);
        let (end_date, end_time) = banner.ends_at.map(|end| zone.fields(end)).unwrap_or_default();
        Self {
            ko: text(Locale::Ko),
            en: text(Locale::En),
            tone: banner.tone.as_str().to_owned(),
            landing: tick(Place::Landing),
            lobby: tick(Place::Lobby),
            chat: tick(Place::Chat),
            start_date,
            start_time,
            start_utc: ms(banner.starts_at),
            end_date,
            end_time,
            end_utc: banner.ends_at.map(ms).unwrap_or_default(),
            version: banner.version.to_string(),
        }
    }

    /// Returns the fields of a form that saves them again.
    fn pairs(self) -> Vec<(String, String)> {
        let pairs = [
            ("text.ko", self.ko),
            ("text.en", self.en),
            ("tone", self.tone),
            ("landing", self.landing),
            ("lobby", self.lobby),
            ("chat", self.chat),
            ("start_date", self.start_date),
            ("start_time", self.start_time),
            ("start_utc", self.start_utc),
            ("end_date", self.end_date),
            ("end_time", self.end_time),
            ("end_utc", self.end_utc),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Returns what was entered. `None` if a time is incomplete, or the end is not after the start.
    async fn change(&self, app: &App) -> Result<Option<BannerChange>> {
        let is_blank = |one: &str, other: &str| one.is_empty() && other.is_empty();
        let starts_at = instant(app, &self.start_date, &self.start_time, &self.start_utc).await?;
        let ends_at = instant(app, &self.end_date, &self.end_time, &self.end_utc).await?;
        let start_is_odd = starts_at.is_none() && !is_blank(&self.start_date, &self.start_time);
        let end_is_odd = ends_at.is_none() && !is_blank(&self.end_date, &self.end_time);
        let start = starts_at.unwrap_or_else(|| app.clock.now());
        if start_is_odd || end_is_odd || ends_at.is_some_and(|end| end <= start) {
            return Ok(None);
        }
        let texts = [("ko", &self.ko), ("en", &self.en)];
        let named = [(Place::Landing, &self.landing), (Place::Lobby, &self.lobby), (Place::Chat, &self.chat)];
        Ok(Some(BannerChange {
            text: texts.into_iter().map(|(tag, text)| (tag.to_owned(), text.trim().to_owned())).collect(),
            tone: if self.tone == "warn" { Tone::Warn } else { Tone::Info },
            places: named.into_iter().filter(|(_, tick)| !tick.is_empty()).map(|(place, _)| place).collect(),
            starts_at,
            ends_at,
        }))
    }
}

#[derive(Template)]
#[template(path = "admin/banners/edit.html")]
struct Edit<'a> {
    t: &'static AdminStrings,
    token: &'a str,
    path: String,
    title: &'static str,
    is_new: bool,
    entered: Fields,
    zone: String,
    problem: Option<String>,
}

async fn respond(desk: &Desk, id: Option<i64>, entered: Fields, problem: Option<String>) -> Result<Response> {
    let t = desk.t();
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let title = if id.is_some() { t.shell.banners } else { t.banners.add };
    let view = Edit {
        t,
        token: desk.token(),
        path: id.map_or_else(|| "/admin/banners/new".to_owned(), |id| format!("/admin/banners/{id}")),
        title,
        is_new: id.is_none(),
        entered,
        zone: (t.sections.zone)(zone.name()),
        problem,
    };
    let status = if view.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let above = [("/admin/banners".to_owned(), t.shell.banners.to_owned())];
    desk.respond(status, Area::Banners, &above, if id.is_some() { t.banners.edit } else { title }, &view).await
}

async fn new(desk: Desk) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let entered = Fields { tone: "info".to_owned(), landing: "on".to_owned(), ..Fields::default() };
    respond(&desk, None, entered, None).await
}

async fn edit(desk: Desk, Path(id): Path<i64>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let banner = cms::banner(&desk.app, id).await?;
    respond(&desk, Some(id), Fields::of(&banner, &zone), None).await
}

async fn save_new(desk: Desk, Form(entered): Form<Fields>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    store(&desk, None, entered).await
}

async fn save(desk: Desk, Path(id): Path<i64>, Form(entered): Form<Fields>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    store(&desk, Some(id), entered).await
}

async fn store(desk: &Desk, id: Option<i64>, mut entered: Fields) -> Result<Response> {
    let t = desk.t();
    let Some(change) = entered.change(&desk.app).await? else {
        return respond(desk, id, entered, Some(t.banners.problem_time.to_owned())).await;
    };
    let by = Editor { who: &desk.staff.visitor, prefix_hash: &desk.prefix_hash };
    let version = id.map(|_| entered.version.parse().unwrap_or(0));
    match cms::save_banner(&desk.app, by, id, version, change).await {
        Ok(_) => {
            Note::said(t.banners.saved).leave(&desk.session).await?;
            Ok(Redirect::to("/admin/banners").into_response())
        }
        Err(Error::Outdated { .. }) => {
            let now = cms::banner(&desk.app, id.unwrap_or_default()).await?;
            entered.version = now.version.to_string();
            let text = (t.numbers.outdated)(&now.updated_by);
            respond(desk, id, entered, Some(text)).await
        }
        Err(why) => {
            let text = match why.field() {
                Some("text") => t.banners.problem_text,
                Some("places") => t.banners.problem_places,
                Some("starts_at" | "ends_at") => t.banners.problem_time,
                _ => return Err(why),
            };
            respond(desk, id, entered, Some(text.to_owned())).await
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn delete(desk: Desk, Path(id): Path<i64>, Form(Nothing {}): Form<Nothing>) -> Result<Response> {
    let desk = desk.require(Role::Editor)?;
    let by = Editor { who: &desk.staff.visitor, prefix_hash: &desk.prefix_hash };
    let banner = cms::delete_banner(&desk.app, by, id).await?;
    let zone = Zone::of(&desk.app, desk.appearance.locale).await?;
    let undo = Undo { path: "/admin/banners/new".to_owned(), fields: Fields::of(&banner, &zone).pairs() };
    Note { text: desk.t().banners.deleted.to_owned(), undo: Some(undo) }.leave(&desk.session).await?;
    Ok(Redirect::to("/admin/banners").into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use crate::admin::sections::tests::{Browser, wait_for};
    use crate::testing::node;

    #[tokio::test]
    async fn a_banner_is_written_shown_corrected_deleted_and_brought_back() {
        let node = node().await;
        let mut editor = Browser::staff(&node, "haru", "editor").await;
        let new = "/admin/banners/new";
        editor.open(new).await;
        editor.submit(new, &[("text.en", "Maintenance tonight")]).await;
        assert_eq!(editor.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(editor.fields(new)["text.en"], "Maintenance tonight", "nothing entered is lost");
        let odd = [("text.ko", "오늘 밤 점검해요."), ("end_date", "2001-01-01"), ("end_time", "04:00")];
        editor.submit(new, &odd).await;
        assert!(editor.html.contains("끝은 시작보다 나중이어야 해요"), "{}", editor.html);
        editor.submit(new, &[("end_date", ""), ("end_time", ""), ("tone", "warn")]).await;
        assert_eq!((editor.path.as_str(), editor.note().as_str()), ("/admin/banners", "알림 띠를 저장했어요."));
        assert!(editor.html.contains("보이는 중"), "{}", editor.html);
        wait_for(&node, "/ko", "오늘 밤 점검해요.").await;
        wait_for(&node, "/en", "Maintenance tonight").await;
        let path = editor.html.split("href=\"/admin/banners/").nth(2).unwrap().split('"').next().unwrap();
        let path = format!("/admin/banners/{path}");
        editor.open(&path).await.submit(&path, &[("text.ko", "내일 밤 점검해요.")]).await;
        wait_for(&node, "/ko", "내일 밤 점검해요.").await;
        editor.open(&path).await.submit(&format!("{path}/delete"), &[]).await;
        assert!(editor.html.contains("알림 띠가 없어요."), "{}", editor.html);
        editor.undo().await;
        assert!(editor.html.contains("내일 밤 점검해요."), "{}", editor.html);
    }
}
