//! The limits of a seek, and the events of an end.
use serde_json::json;
use uuid::Uuid;

use super::{seek, start, try_seek};
use crate::ids::{RoomId, VisitorId};
use crate::matching::model::{EndReason, Seek, TalkEvent};
use crate::matching::reconcile::{Reconciliation, TicketState, reconcile};
use crate::matching::talks::{Ending, Side, Talk, end_events, timeout_ending};
use crate::realtime::NodeEvent;
use crate::rooms::Slot;

#[test]
fn seeks_are_tidied_and_checked() {
    let tidy = seek(&["  Music ", "music", "음악", "Cafe\u{301}"], &["ko-KR", "KO-kr", "en"], true);
    assert_eq!(tidy, seek(&["Music", "Café"], &["ko-KR", "en"], true));
    assert_eq!(tidy.topics(), ["music", "café"]);
    let long = "가".repeat(30);
    assert!(try_seek(&[&long], &[], false).is_ok());
    let longer = "가".repeat(31);
    let tags: Vec<String> = (0..11).map(|n| format!("ko-{n:03}")).collect();
    let eleven: Vec<&str> = tags.iter().map(String::as_str).collect();
    for (bad, field) in [
        (try_seek(&["1", "2", "3", "4", "5", "6"], &[], false), "interests"),
        (try_seek(&[" "], &[], false), "interests"),
        (try_seek(&[&longer], &[], false), "interests"),
        (try_seek(&["a\u{7}b"], &[], false), "interests"),
        (try_seek(&["a\u{202e}b"], &[], false), "interests"),
        (try_seek(&["a\u{200b}b"], &[], false), "interests"),
        (try_seek(&[], &["x"], false), "languages"),
        (try_seek(&[], &["ko_KR"], false), "languages"),
        (try_seek(&[], &eleven, false), "languages"),
    ] {
        let why = bad.unwrap_err();
        assert_eq!((why.code(), why.field()), ("bad_frame", Some(field)));
    }
}

#[test]
fn each_side_shares_its_own_words() {
    let (one, other) =
        (seek(&["비 오는 날", "음악", "차"], &[], false), seek(&["Songs", "tea", "RAINY-DAYS"], &[], false));
    assert_eq!(one.shared_with(&other), ["비 오는 날", "음악"]);
    assert_eq!(other.shared_with(&one), ["Songs", "RAINY-DAYS"]);
}

#[test]
fn a_stored_seek_keeps_its_topics_and_one_without_them_gets_them() {
    let sought = seek(&["음악", "뜨개 바늘"], &["ko"], true);
    let stored = serde_json::to_value(&sought).unwrap();
    assert_eq!(
        stored,
        json!({"interests": ["음악", "뜨개 바늘"], "topics": ["music", "뜨개바늘"], "languages": ["ko"], "translate": true})
    );
    assert_eq!(serde_json::from_value::<Seek>(stored).unwrap(), sought);
    let before = json!({"interests": ["음악", "뜨개 바늘"], "languages": ["ko"], "translate": true});
    assert_eq!(serde_json::from_value::<Seek>(before).unwrap(), sought);
}

fn talk(a_node: Option<u128>, b_node: Option<u128>) -> Talk {
    let side = |visitor, node: Option<u128>| Side {
        visitor,
        seek: seek(&[], &[], false),
        since: start(),
        node: node.map(Uuid::from_u128),
        away_since: None,
    };
    Talk {
        public_id: Uuid::from_u128(1),
        room_id: RoomId(1),
        room: Uuid::from_u128(2),
        a: side(VisitorId(1), a_node),
        b: side(VisitorId(2), b_node),
        created_at: start(),
        ended: false,
    }
}

#[test]
fn a_talk_ends_if_a_side_does_not_enter_or_return_in_time() {
    let after = |secs| start() + time::Duration::seconds(secs);
    let lost = |requeued| Some(Ending { reason: EndReason::Lost, ended_by: None, requeued });
    assert_eq!(timeout_ending(&talk(Some(1), None), after(14)), None);
    assert_eq!(timeout_ending(&talk(Some(1), None), after(15)), lost(Some(Slot::A)));
    assert_eq!(timeout_ending(&talk(None, Some(1)), after(15)), lost(Some(Slot::B)));
    assert_eq!(timeout_ending(&talk(None, None), after(15)), lost(None));
    assert_eq!(timeout_ending(&talk(Some(1), Some(1)), after(3_600)), None);
    let mut away = talk(Some(1), Some(1));
    away.b.away_since = Some(after(100));
    assert_eq!((timeout_ending(&away, after(129)), timeout_ending(&away, after(130))), (None, lost(None)));
    let mut gone = talk(Some(1), None);
    gone.a.away_since = Some(after(10));
    assert_eq!(timeout_ending(&gone, after(15)), lost(None), "a side that is away does not wait again");
}

#[test]
fn only_the_side_that_reports_or_blocks_learns_of_it() {
    for (reason, shown) in [
        (EndReason::Next, EndReason::Next),
        (EndReason::Left, EndReason::Left),
        (EndReason::Report, EndReason::Left),
        (EndReason::Block, EndReason::Left),
    ] {
        let events =
            end_events(&talk(Some(1), Some(1)), Ending { reason, ended_by: Some(Slot::A), requeued: None }, None);
        let ended = |visitor| {
            events.iter().find_map(|(to, event)| match event {
                TalkEvent::Ended { reason, .. } if *to == visitor => Some(*reason),
                _ => None,
            })
        };
        assert_eq!((ended(VisitorId(1)), ended(VisitorId(2))), (Some(reason), Some(shown)));
        let left: Vec<VisitorId> =
            events.iter().filter(|(_, event)| matches!(event, TalkEvent::Partner { .. })).map(|(to, _)| *to).collect();
        assert_eq!(left, [VisitorId(2)], "only the other side receives `left`, before the end");
        assert_eq!(events.len(), 3);
    }
}

#[test]
fn frames_are_as_documented() {
    let events = end_events(
        &talk(Some(1), None),
        Ending { reason: EndReason::Lost, ended_by: None, requeued: Some(Slot::A) },
        Some(Uuid::from_u128(3)),
    );
    let frames: Vec<String> = events.iter().map(|(to, event)| format!("{} {}", to.0, &*event.encode())).collect();
    assert_eq!(
        frames,
        [
            r#"1 {"type":"ended","session":"00000000-0000-0000-0000-000000000001","reason":"lost","seeking":{"ticket":"00000000-0000-0000-0000-000000000003"}}"#,
            r#"2 {"type":"ended","session":"00000000-0000-0000-0000-000000000001","reason":"lost"}"#,
        ]
    );
    let nodes_get: Vec<_> = events.iter().map(|(_, event)| event.node_event()).collect();
    let ended = |requeued| Some(NodeEvent::TalkEnded { requeued });
    assert_eq!(nodes_get, [ended(true), ended(false)], "what the event means for other nodes");
}

#[test]
fn a_tracked_ticket_is_reconciled_with_its_row() {
    let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let row = |ticket, cancelled| Some(TicketState { ticket, cancelled });
    for (row, in_talk, matched, expected) in [
        (row(mine, false), false, false, Reconciliation::Keep),
        (row(other, false), false, false, Reconciliation::Adopt),
        (row(mine, true), false, false, Reconciliation::Untrack),
        (row(other, true), false, false, Reconciliation::Untrack),
        (None, true, true, Reconciliation::Redeliver),
        (None, true, false, Reconciliation::Redeliver),
        (None, false, true, Reconciliation::Untrack),
        (None, false, false, Reconciliation::Restore),
    ] {
        assert_eq!(reconcile(mine, row, in_talk, matched), expected, "{row:?} {in_talk} {matched}");
    }
}
