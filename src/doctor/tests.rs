//! Tests of the doctor: each thing that can be wrong is found and named.
use sqlx::PgPool;

use super::report::{Finding, Health};
use super::{inside, mail, redis, settings};
use crate::cli::ServeArgs;
use crate::config::Config;
use crate::notify::smtp_server::SmtpServer;
use crate::testing;

fn config(change: impl FnOnce(&mut ServeArgs)) -> Config {
    let mut args = ServeArgs::default();
    change(&mut args);
    Config::read(&args).unwrap()
}

fn states(findings: &[Finding]) -> Vec<(&'static str, Health)> {
    findings.iter().map(|finding| (finding.check, finding.state)).collect()
}

async fn found_in(db: &PgPool) -> Vec<Finding> {
    let mut findings = Vec::new();
    inside(db, &config(|_| {}), &mut findings).await;
    findings
}

#[tokio::test]
async fn what_is_wrong_in_a_database_is_named_with_what_mends_it() {
    let db = testing::database().await;
    let healthy = [("clock", Health::Ok), ("schema", Health::Ok), ("audit", Health::Ok)];
    assert_eq!(states(&found_in(&db).await), healthy);
    for (sql, check, state, part) in [
        ("UPDATE audit_head SET id = 1", "audit", Health::Wrong, "entry 1 of the audit log is missing"),
        ("DELETE FROM _sqlx_migrations WHERE version = 5", "schema", Health::Warning, "that are missing: 1"),
        ("INSERT INTO _sqlx_migrations VALUES (9999, 'x', now(), true, '', 0)", "schema", Health::Wrong, "9999"),
        ("DROP TABLE _sqlx_migrations", "schema", Health::Warning, "is empty"),
    ] {
        sqlx::query(sql).execute(&db).await.unwrap();
        let findings = found_in(&db).await;
        let finding = findings.iter().find(|finding| finding.state != Health::Ok).unwrap();
        assert_eq!((finding.check, finding.state), (check, state), "{sql}: {findings:?}");
        assert!(finding.what.contains(part) && finding.mend.is_some(), "{finding:?}");
    }
    let mut findings = Vec::new();
    inside(&db, &config(|args| args.time_zone = Some("Asia/Nowhere".to_owned())), &mut findings).await;
    assert_eq!(findings[0].state, Health::Wrong);
    assert!(findings[0].what.contains("Asia/Nowhere"), "{findings:?}");
}

#[tokio::test]
async fn the_mail_server_is_asked_and_a_mail_is_sent_on_request() {
    let none = config(|_| {});
    assert_eq!(states(&mail(&none, None).await), [("mail", Health::Warning)]);
    assert_eq!(states(&mail(&none, Some("a@example.com")).await), [("mail", Health::Wrong)]);

    let server = SmtpServer::start();
    let with = |url: String| {
        config(|args| (args.smtp_url, args.mail_from) = (Some(url), Some("no-reply@example.org".to_owned())))
    };
    let good = with(server.url());
    assert_eq!(states(&mail(&good, None).await), [("mail", Health::Ok)]);
    assert!(server.received().is_empty());
    assert_eq!(states(&mail(&good, Some("a@example.com")).await), [("mail", Health::Ok); 2]);
    let text = server.received()[0].text();
    assert!(text.contains("보낸 메일이에요") && text.contains("nothing for you to do"), "{text}");
    server.answer(&["550 5.1.1 no such user"]);
    let refused = mail(&good, Some("a@example.com")).await;
    assert!(refused[1].state == Health::Wrong && refused[1].what.contains("550"), "{refused:?}");
    assert_eq!(mail(&good, Some("nonsense")).await[1].state, Health::Wrong);

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = mail(&with(format!("smtp://me:hush@{closed}")), None).await;
    assert_eq!(states(&dead), [("mail", Health::Wrong)]);
    assert!(!format!("{dead:?}").contains("hush"), "{dead:?}");
}

#[tokio::test]
async fn redis_is_asked_if_it_is_set() {
    assert!(redis(&config(|_| {})).await.is_none());
    let server = testing::Redis::start().await;
    let found = redis(&config(|args| args.redis_url = Some(server.url.clone()))).await.unwrap();
    assert!(found.state == Health::Ok && found.what.contains("version"), "{found:?}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = redis(&config(|args| args.redis_url = Some(format!("redis://:hush@{closed}")))).await.unwrap();
    assert!(dead.state == Health::Wrong && !format!("{dead:?}").contains("hush"), "{dead:?}");
}

#[test]
fn settings_that_are_risky_are_warned_of() {
    assert_eq!(states(&settings(&config(|_| {}))), [("settings", Health::Ok)]);
    let risky = settings(&config(|args| {
        args.limits = Some("off".to_owned());
        args.mail_from = Some("a@example.org".to_owned());
    }));
    assert_eq!(risky.len(), 3);
    let public = settings(&config(|args| args.public_url = Some("https://chat.example.org".to_owned())));
    assert!(public[1].what.contains("contact"), "{public:?}");
}
