//! Tests of mail, with a real SMTP server on loopback.
use std::time::{Duration, Instant};

use super::limits::MAX_QUEUED_MAILS;
use super::smtp_server::SmtpServer;
use super::{Mailer, can_mail, mail};
use crate::app::App;
use crate::cli::ServeArgs;
use crate::clock::Clock;
use crate::config::Config;
use crate::realtime::Relay;
use crate::testing;

fn config(url: &str) -> Config {
    let text = |text: &str| Some(text.to_owned());
    let args =
        ServeArgs {
            smtp_url: text(url), mail_from: text("마주 <no-reply@chat.example.org>"), ..ServeArgs::default()
        };
    Config::read(&args).unwrap()
}

/// A node without a listener. Dropping it stops its tasks.
struct Node {
    app: App,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.app.tasks.stopping.cancel();
    }
}

async fn node(server: &SmtpServer) -> Node {
    let config = config(&server.url());
    Node { app: App::start(config, testing::database().await, Relay::in_process(), Clock::default()).await.unwrap() }
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let server = SmtpServer::start();
    let node = node(&server).await;
    assert!(can_mail(&node.app));
    let text =
        "마주에서 보낸 메일이에요.\n.\n..This is a mail from Maju.\n\nhttps://chat.example.org/reset?token=abc=\n";
    mail(&node.app, "min.su+maju@example.com", "비밀번호를 다시 정하세요 / Set a new password", text).unwrap();
    let [received] = &server.wait_for(1).await[..] else { panic!("one mail") };
    assert_eq!(
        (received.from.as_str(), received.to.as_str()),
        ("no-reply@chat.example.org", "min.su+maju@example.com")
    );
    assert_eq!(received.text().replace("\r\n", "\n").trim_end(), text.trim_end());
    assert_eq!(received.hello, "chat.example.org", "the name of this machine is not told");
    assert!(received.user.is_none());
    assert_eq!(received.header("Auto-Submitted"), "auto-generated");
    assert!(received.header("Message-ID").ends_with("@chat.example.org>"), "{}", received.raw);
    assert!(received.header("Date").ends_with("0000"), "{}", received.raw);
    assert_eq!(received.header("To"), "min.su+maju@example.com");
    assert!(received.raw.is_ascii() && received.header("Subject").contains("=?utf-8?"), "{}", received.raw);
}

#[tokio::test]
async fn a_line_break_adds_no_header_and_a_wrong_address_is_refused() {
    let server = SmtpServer::start();
    let node = node(&server).await;
    mail(&node.app, "a@example.com", "one\r\nBcc: other@example.com\r\n\r\ntwo", "three").unwrap();
    let [received] = &server.wait_for(1).await[..] else { panic!("one mail") };
    assert_eq!((received.header("Bcc").as_str(), received.text().trim()), ("", "three"));
    for to in
        ["", "a", "a@", "@b", "a@example.com, b@example.com", "a@example.com\r\nRCPT TO:<b@example.com>", "a b@c.d"]
    {
        let refused = mail(&node.app, to, "one", "two").unwrap_err();
        assert_eq!((refused.code(), refused.field()), ("bad_frame", Some("email")), "{to}");
    }
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_mail_that_the_server_delays_is_tried_again_and_one_that_it_refuses_is_not() {
    let server = SmtpServer::start();
    let node = node(&server).await;
    server.answer(&["451 4.7.1 Greylisted", "550 5.1.1 No such user"]);
    mail(&node.app, "first@example.com", "one", "").unwrap();
    testing::eventually("the first one is delayed", || async { server.planned() == 1 }).await;
    mail(&node.app, "second@example.com", "two", "").unwrap();
    mail(&node.app, "third@example.com", "three", "").unwrap();
    let mut arrived: Vec<String> = server.wait_for(2).await.into_iter().map(|mail| mail.to).collect();
    arrived.sort();
    assert_eq!(arrived.len(), 2);
    assert!(arrived.contains(&"first@example.com".to_owned()), "{arrived:?}");
    testing::eventually("nothing waits", || async { node.app.notify.outbox.lock().len() == 0 }).await;
}

#[tokio::test]
async fn the_caller_never_waits_for_the_mail_server_and_the_queue_is_bounded() {
    let server = SmtpServer::start();
    server.delay(Duration::from_secs(60));
    let node = node(&server).await;
    let began = Instant::now();
    for n in 0..MAX_QUEUED_MAILS {
        mail(&node.app, &format!("user{n}@example.com"), "one", "").unwrap();
    }
    assert_eq!(mail(&node.app, "last@example.com", "one", "").unwrap_err().code(), "unavailable");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn mails_survive_a_panic_of_the_task_that_sends_them() {
    let server = SmtpServer::start();
    server.delay(Duration::from_millis(500));
    let node = node(&server).await;
    for n in 0..6 {
        mail(&node.app, &format!("user{n}@example.com"), "one", "").unwrap();
    }
    testing::eventually("some are being sent", || async { server.written().contains("DATA") }).await;
    node.app.tasks.panics.trigger("notify.mail");
    testing::eventually("each arrives", || async {
        let received = server.received();
        (0..6).all(|n| received.iter().any(|mail| mail.to == format!("user{n}@example.com")))
    })
    .await;
}

#[tokio::test]
async fn a_site_without_a_mail_server_says_so() {
    let node = testing::node().await;
    assert!(!can_mail(&node.app));
    assert_eq!(mail(&node.app, "a@example.com", "one", "two").unwrap_err().code(), "forbidden");
}

#[tokio::test]
async fn nothing_is_sent_in_plain_text_to_a_server_that_is_not_on_loopback() {
    let server = SmtpServer::start();
    let port = server.address.port();
    // On Linux this address reaches the loopback device, and is not a loopback address.
    for scheme in ["smtp", "smtps"] {
        let url = format!("{scheme}://user:hush@0.0.0.0:{port}");
        let mailer = Mailer::new(&config(&url)).unwrap();
        let message = mailer.message("a@example.com", "one", "two").unwrap();
        assert!(mailer.connect().await.is_err() && mailer.send(message).await.is_err(), "{url}");
    }
    let written = server.written();
    assert!(written.contains("EHLO") && !written.contains("AUTH") && !written.contains("MAIL"), "{written}");
    // On loopback it is allowed, with the decoded password.
    let mailer = Mailer::new(&config(&format!("smtp://me%40example.org:hu%2Fsh+%25@localhost:{port}"))).unwrap();
    mailer.connect().await.unwrap();
    mailer.send(mailer.message("a@example.com", "one", "two").unwrap()).await.map_err(|why| why.cause).unwrap();
    assert_eq!(server.received()[0].user, Some(("me@example.org".to_owned(), "hu/sh+%".to_owned())));
}
