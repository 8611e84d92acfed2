//! Several editors, several nodes, readers meanwhile.
use std::time::Duration;

use super::{Person, add, prose};
use crate::cms::model::Page;
use crate::cms::sections::{Change, Section, order_sections, publish_section, save_section, section, sections};
use crate::error::{Error, Result};
use crate::locale::Locale;
use crate::testing::{Node, eventually, node};

#[tokio::test]
async fn of_two_editors_who_save_at_once_one_wins_and_the_other_gets_what_was_saved() {
    let node = node().await;
    let (one, two) = (Person::new(&node, "jin").await, Person::new(&node, "sol").await);
    let mut version = add(&node, &one, Page::Terms, Locale::En, "t").await;
    let mut wins = [0, 0];
    for round in 0..200 {
        let save = |by: &'static str| Change { content: Some(prose("t", &format!("{by} {round}"))), visible: None };
        let (first, second) = tokio::join!(
            save_section(&node.app, one.editor(), version.id, version.version, save("jin")),
            save_section(&node.app, two.editor(), version.id, version.version, save("sol")),
        );
        let (winner, loser): (Section, Result<Section>) = match (first, second) {
            (Ok(winner), loser) => {
                wins[0] += 1;
                (winner, loser)
            }
            (loser, Ok(winner)) => {
                wins[1] += 1;
                (winner, loser)
            }
            (first, second) => panic!("round {round}: {first:?} {second:?}"),
        };
        let Err(Error::Outdated { current }) = loser else { panic!("round {round}: {loser:?}") };
        assert_eq!(*current, serde_json::to_value(winner.view()).unwrap(), "round {round}");
        assert_eq!(winner.version, version.version + 1);
        version = winner;
    }
    assert_eq!(wins[0] + wins[1], 200);
}

#[tokio::test]
async fn an_order_that_misses_a_section_is_refused_and_nothing_moves() {
    let node = node().await;
    let by = Person::new(&node, "jin").await;
    let list = async || sections(&node.app, Some(Page::Rules), Some(Locale::Ko)).await.unwrap();
    let mut ids: Vec<_> = list().await.iter().map(|section| section.id).collect();
    ids.reverse();
    order_sections(&node.app, by.editor(), Page::Rules, Locale::Ko, &ids).await.unwrap();
    assert_eq!(list().await.iter().map(|section| section.id).collect::<Vec<_>>(), ids);
    let other = section(&node.app, sections(&node.app, Some(Page::Rules), Some(Locale::En)).await.unwrap()[0].id);
    let foreign = other.await.unwrap().id;
    for wrong in [ids[1..].to_vec(), [&ids[..], &ids[..1]].concat(), [&ids[1..], &[foreign][..]].concat()] {
        let refused = order_sections(&node.app, by.editor(), Page::Rules, Locale::Ko, &wrong).await;
        assert_eq!(refused.unwrap_err().code(), "conflict");
    }
    assert_eq!(list().await.iter().map(|section| section.id).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn what_is_due_on_two_nodes_is_published_once() {
    let node = node().await;
    let other = Node::beside(&node).await;
    let by = Person::new(&node, "jin").await;
    let at = node.app.clock.now() + Duration::from_secs(3_600);
    let mut added = Vec::new();
    for nth in 0..20 {
        let draft = add(&node, &by, Page::Terms, Locale::En, &format!("due {nth}")).await;
        publish_section(&node.app, by.editor(), draft.id, 1, Some("later"), Some(at)).await.unwrap();
        // What is scheduled is the text of that time.
        let change = Change { content: Some(prose("written later", "x")), visible: None };
        added.push(save_section(&node.app, by.editor(), draft.id, 1, change).await.unwrap().id);
    }
    assert!(!other.get("/en/terms").await.text.contains("due 1"));
    node.app.clock.advance(Duration::from_secs(3_601));
    eventually("all are published", async || {
        let all = sections(&node.app, Some(Page::Terms), Some(Locale::En)).await.unwrap();
        all.iter().filter(|section| added.contains(&section.id)).all(|section| section.published_version == Some(1))
    })
    .await;
    eventually("both nodes show them", async || {
        let (here, there) = (node.get("/en/terms").await.text, other.get("/en/terms").await.text);
        (0..20).all(|nth| here.contains(&format!(">due {nth}</h2>")) && there.contains(&format!(">due {nth}</h2>")))
    })
    .await;
    assert!(!node.get("/en/terms").await.text.contains("written later"));
    let entries: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM section_version v JOIN page_section s ON s.id = v.section_id WHERE v.note = 'later'),
                (SELECT count(*) FROM audit_log WHERE action = 'section.published' AND actor_name = '(system)')",
    )
    .fetch_one(&node.app.db)
    .await
    .unwrap();
    assert_eq!(entries, (20, 20));
}

#[tokio::test]
async fn readers_never_see_a_mixed_page_while_an_editor_publishes() {
    let node = node().await;
    let by = Person::new(&node, "jin").await;
    let (mut first, mut second) = (
        add(&node, &by, Page::Contact, Locale::En, "first 0").await,
        add(&node, &by, Page::Contact, Locale::En, "second 0").await,
    );
    for section in [&first, &second] {
        publish_section(&node.app, by.editor(), section.id, 1, None, None).await.unwrap();
    }
    let number = |html: &str, word: &str| -> i64 {
        let rest = html.split(&format!(">{word} ")).nth(1).unwrap_or_default();
        rest.split('<').next().unwrap_or_default().parse().unwrap_or(-1)
    };
    eventually("both are shown", async || {
        let html = node.get("/en/contact").await.text;
        number(&html, "first") == 0 && number(&html, "second") == 0
    })
    .await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let reading = async {
        let (mut last, mut seen) = (0, 0);
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let page = node.get("/en/contact").await;
            assert_eq!(page.status, 200);
            let (first, second) = (number(&page.text, "first"), number(&page.text, "second"));
            // The first one is published before the second one, each time.
            assert!(first == second || first == second + 1, "{first} and {second}");
            assert!(first >= last, "{first} after {last}");
            seen += i64::from(first != last);
            last = first;
            tokio::task::yield_now().await;
        }
        seen
    };
    let publishing = async {
        for nth in 1..=50 {
            for (section, word) in [(&mut first, "first"), (&mut second, "second")] {
                let change = Change { content: Some(prose(&format!("{word} {nth}"), "x")), visible: None };
                let saved = save_section(&node.app, by.editor(), section.id, section.version, change).await.unwrap();
                *section = publish_section(&node.app, by.editor(), saved.id, saved.version, None, None).await.unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(reading, publishing);
    assert!(seen > 3, "readers saw {seen} of the publishes");
}
