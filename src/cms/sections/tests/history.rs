//! Drafts and versions against a plain model of them.
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Person, add, prose};
use crate::cms::model::Page;
use crate::cms::sections::{
    Change, Section, State, VersionKind, cancel_schedule, delete_section, deleted_sections, publish_section,
    restore_deleted, restore_section, save_section, schedule, section, section_versions, unpublish_section,
};
use crate::locale::Locale;
use crate::testing::{Node, eventually, node};

/// What a section should be: texts are numbers.
#[derive(Clone, Debug, Default)]
struct Model {
    version: i64,
    draft: u32,
    visible: bool,
    published: Option<(i64, u32)>,
    /// What was published or kept.
    history: Vec<(i64, u32)>,
    scheduled: Option<(i64, u32)>,
    deleted: bool,
}

impl Model {
    fn state(&self) -> State {
        match self.published {
            _ if self.scheduled.is_some() => State::Scheduled,
            None => State::Draft,
            Some((_, text)) if text == self.draft => State::Published,
            Some(_) => State::Changed,
        }
    }

    fn publish(&mut self, version: i64, text: u32) {
        self.published = Some((version, text));
        self.history.push((version, text));
        self.scheduled = None;
    }

    fn check(&self, found: &Section, step: &str) {
        let content = |text: u32| prose(&format!("t{text}"), &format!("t{text}"));
        assert_eq!(found.version, self.version, "{step}");
        assert_eq!(found.content.content(), content(self.draft), "{step}");
        assert_eq!(found.visible, self.visible, "{step}");
        assert_eq!(found.published_version, self.published.map(|(version, _)| version), "{step}");
        let published = found.published.as_ref().map(crate::cms::PageSection::content);
        assert_eq!(published, self.published.map(|(_, text)| content(text)), "{step}");
        assert_eq!(found.state, self.state(), "{step}");
        assert_eq!(found.publish_at.is_some(), self.scheduled.is_some(), "{step}");
    }
}

/// Does a random step to the section and to the model of it.
async fn step(node: &Node, by: &Person, random: &mut StdRng, model: &mut Model, id: crate::ids::SectionId) -> String {
    let (app, editor) = (&node.app, by.editor());
    if model.deleted {
        restore_deleted(app, editor, id).await.unwrap();
        model.deleted = false;
        return "undelete".to_owned();
    }
    let choice = random.random_range(0..11);
    match choice {
        0..4 => {
            let text = random.random_range(0..5);
            let content = Some(prose(&format!("t{text}"), &format!("t{text}")));
            save_section(app, editor, id, model.version, Change { content, visible: None }).await.unwrap();
            (model.version, model.draft) = (model.version + 1, text);
        }
        4 | 5 => {
            publish_section(app, editor, id, model.version, Some("a note"), None).await.unwrap();
            model.publish(model.version, model.draft);
        }
        6 => {
            let at = app.clock.now() + Duration::from_secs(1_000);
            publish_section(app, editor, id, model.version, None, Some(at)).await.unwrap();
            model.scheduled = Some((model.version, model.draft));
        }
        7 => {
            app.clock.advance(Duration::from_secs(1_001));
            // The task of the node may be quicker.
            eventually("what is due is published", async || {
                schedule::do_what_is_due(app).await.unwrap();
                section(app, id).await.unwrap().publish_at.is_none()
            })
            .await;
            if let Some((version, text)) = model.scheduled {
                model.publish(version, text);
            }
        }
        8 => match model.published {
            Some(_) => {
                unpublish_section(app, editor, id, None).await.unwrap();
                model.published = None;
            }
            None => {
                cancel_schedule(app, editor, id).await.unwrap();
                model.scheduled = None;
            }
        },
        9 if !model.history.is_empty() => {
            let (version, text) = model.history[random.random_range(0..model.history.len())];
            restore_section(app, editor, id, version).await.unwrap();
            if version != model.version {
                if !model.history.iter().any(|(known, _)| *known == model.version) {
                    model.history.push((model.version, model.draft));
                }
                (model.version, model.draft) = (model.version + 1, text);
            }
        }
        9 => {
            delete_section(app, editor, id).await.unwrap();
            (model.deleted, model.scheduled) = (true, None);
        }
        _ => {
            model.visible = !model.visible;
            let change = Change { content: None, visible: Some(model.visible) };
            save_section(app, editor, id, model.version, change).await.unwrap();
            model.version += 1;
        }
    }
    format!("{choice}")
}

#[tokio::test]
async fn a_section_does_what_a_plain_model_of_it_does() {
    let node = node().await;
    let by = Person::new(&node, "jin").await;
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let first = add(&node, &by, Page::Terms, Locale::En, "t0").await;
        let mut model = Model { version: 1, visible: true, ..Model::default() };
        model.check(&first, "new");
        let mut steps = Vec::new();
        for _ in 0..30 {
            steps.push(step(&node, &by, &mut random, &mut model, first.id).await);
            let step = format!("seed {seed}: {steps:?}");
            if model.deleted {
                assert_eq!(section(&node.app, first.id).await.unwrap_err().code(), "not_found", "{step}");
                let deleted = deleted_sections(&node.app, Some(Page::Terms)).await.unwrap();
                assert_eq!(deleted.iter().map(|one| one.id).collect::<Vec<_>>(), [first.id], "{step}");
                continue;
            }
            model.check(&section(&node.app, first.id).await.unwrap(), &step);
            let history = section_versions(&node.app, first.id).await.unwrap();
            let mut expected: Vec<i64> = model.history.iter().rev().map(|(version, _)| *version).collect();
            if !expected.contains(&model.version) {
                expected.insert(0, model.version);
                assert_eq!(history[0].kind, VersionKind::Draft, "{step}");
            }
            assert_eq!(history.iter().map(|one| one.version).collect::<Vec<_>>(), expected, "{step}");
        }
        if !model.deleted {
            delete_section(&node.app, by.editor(), first.id).await.unwrap();
        }
        sqlx::raw_sql("DELETE FROM page_section WHERE deleted_at IS NOT NULL").execute(&node.app.db).await.unwrap();
    }
    let acts: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT action FROM audit_log WHERE action LIKE 'section.%' ORDER BY 1")
            .fetch_all(&node.app.db)
            .await
            .unwrap();
    assert!(acts.len() >= 11, "{acts:?}");
    let whole = crate::audit::verify(&node.app.db).await.unwrap();
    assert!(matches!(whole, crate::audit::Verdict::Whole { .. }), "{whole:?}");
}
