//! Group commit with a real Postgres: the stop, failures, a panic.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::{MIN_TIME_LEFT, Queue, Transaction, Writer, WriterConnection, queue, spawn};
use crate::db::is_unreachable;
use crate::error::Result;
use crate::tasks::Tasks;
use crate::testing::{self, TEST_TIMEOUT};

/// A request to tell the process id of the connection, or to panic in a transaction.
enum Request {
    Pid(oneshot::Sender<Result<i32>>),
    Panic,
}

struct PidWriter;

impl Writer for PidWriter {
    type Request = Request;

    async fn process(
        &mut self,
        queue: &mut Queue<Request>,
        connection: &mut WriterConnection,
        mut requests: Vec<Request>,
    ) {
        queue.put_back(requests.split_off(1));
        match requests.pop().unwrap() {
            Request::Pid(answer) => answer.send(Ok(pid(connection).await)).unwrap(),
            Request::Panic => {
                let panicking = async |connection: &mut PgConnection| {
                    let _tx = connection.begin().await?;
                    panic!("on purpose")
                };
                connection.attempt(soon(), panicking).await.unwrap()
            }
        }
    }
}

async fn pid(connection: &mut WriterConnection) -> i32 {
    let work =
        async |connection: &mut PgConnection| sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await;
    connection.attempt(soon(), work).await.unwrap()
}

/// A transaction that runs one statement, and counts how often.
struct Statement {
    sql: &'static str,
    runs: AtomicUsize,
}

impl Statement {
    fn new(sql: &'static str) -> Self {
        Self { sql, runs: AtomicUsize::new(0) }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Transaction for Statement {
    type Outcome = ();

    async fn run(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        sqlx::raw_sql(self.sql).execute(connection).await.map(drop)
    }
}

fn soon() -> Instant {
    Instant::now() + TEST_TIMEOUT
}

/// Makes new connections fail until the returned options are set again.
fn disconnect(pool: &PgPool) -> sqlx::postgres::PgConnectOptions {
    let options = (*pool.connect_options()).clone();
    pool.set_connect_options(options.clone().host("127.0.0.1").port(1));
    options
}

#[tokio::test]
async fn queued_requests_are_processed_before_the_stop() {
    let (pool, tasks) = (testing::database().await, Tasks::default());
    let (sender, queue) = queue();
    let answers: Vec<_> = (0..3).map(|_| sender.ask(Request::Pid)).collect();
    let answers = tokio::join!(futures_util::future::join_all(answers), async {
        tasks.stopping.cancel(); // polled after the requests are queued
        spawn(&tasks, "test.writer", queue, WriterConnection::new(&pool, &[]), PidWriter);
    })
    .0;
    assert_eq!(answers.into_iter().filter(Result::is_ok).count(), 3);
    assert!(tasks.wait_for_all(TEST_TIMEOUT).await, "then the task ends");
    assert_eq!(sender.ask(Request::Pid).await.unwrap_err().code(), "unavailable");
}

#[tokio::test]
async fn after_a_panic_the_queue_is_served_on_a_new_connection() {
    let (pool, tasks) = (testing::database().await, Tasks::default());
    let (sender, queue) = queue();
    let requests = async {
        let panicking = async {
            sender.submit(Request::Panic).unwrap();
        };
        // In this order, before the writer starts.
        let (before, (), after) = tokio::join!(sender.ask(Request::Pid), panicking, sender.ask(Request::Pid));
        (before.unwrap(), after.unwrap())
    };
    let starting = async { spawn(&tasks, "test.writer", queue, WriterConnection::new(&pool, &[]), PidWriter) };
    let ((before, after), ()) = tokio::join!(requests, starting);
    assert_ne!(before, after);
    tasks.stopping.cancel();
    assert!(tasks.wait_for_all(TEST_TIMEOUT).await);
}

#[tokio::test]
async fn a_full_queue_refuses_requests_and_keeps_the_order_of_what_is_put_back() {
    let (sender, mut queue) = queue();
    for n in 0..4_096 {
        sender.submit(n).unwrap();
    }
    assert_eq!(sender.submit(0).unwrap_err().code(), "unavailable");
    let stopping = tokio_util::sync::CancellationToken::new();
    stopping.cancel();
    let mut batch = queue.next(&stopping).await.unwrap();
    assert_eq!(batch, (0..500).collect::<Vec<_>>());
    assert_eq!(queue.waiting()[0], 500, "taken out of the channel");
    queue.put_back(batch.split_off(100));
    assert_eq!(queue.next(&stopping).await.unwrap(), (100..4_096).collect::<Vec<_>>());
    assert!(queue.next(&stopping).await.is_none());
}

#[tokio::test]
async fn an_unreachable_database_is_retried_until_the_deadline() {
    let pool = testing::database().await;
    let mut connection = WriterConnection::new(&pool, &[]);
    let reachable = disconnect(&pool);
    let (began, statement) = (Instant::now(), Statement::new("SELECT 1"));
    let limit = Duration::from_millis(700);
    let why = connection.commit(began + limit, &statement).await.err().unwrap();
    assert!(is_unreachable(&why), "{why}");
    let took = began.elapsed();
    assert!(took >= limit - MIN_TIME_LEFT - super::RETRY_DELAY, "gave up after {took:?}");
    assert_eq!(statement.runs(), 0);

    let returning = async {
        sleep(Duration::from_millis(250)).await;
        pool.set_connect_options(reachable);
    };
    let (committed, ()) = tokio::join!(connection.commit(soon(), &statement), returning);
    assert!(committed.unwrap().may_be_repeated);
    assert_eq!(statement.runs(), 1);
}

#[tokio::test]
async fn a_serialization_failure_is_repeated_at_most_five_times() {
    let pool = testing::database().await;
    let mut connection = WriterConnection::new(&pool, &[]);
    sqlx::raw_sql("CREATE SEQUENCE attempts").execute(&pool).await.unwrap();
    let fails_five_times = Statement::new(
        "DO $$ BEGIN IF nextval('attempts') <= 5 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF; END $$",
    );
    let first = pid(&mut connection).await;
    assert!(!connection.commit(soon(), &fails_five_times).await.unwrap().may_be_repeated);
    assert_eq!(fails_five_times.runs(), 6);
    let always_fails = Statement::new("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$");
    let why = connection.commit(soon(), &always_fails).await.err().unwrap();
    assert!(!is_unreachable(&why), "{why}");
    assert_eq!(always_fails.runs(), 6);
    assert_eq!(pid(&mut connection).await, first, "the connection is kept");
}

#[tokio::test]
async fn a_failure_that_would_come_again_is_not_repeated() {
    let pool = testing::database().await;
    let mut connection = WriterConnection::new(&pool, &[]);
    let first = pid(&mut connection).await;
    let fails = Statement::new("SELECT 1 / 0");
    assert!(connection.commit(soon(), &fails).await.is_err());
    assert_eq!(fails.runs(), 1);
    assert_ne!(pid(&mut connection).await, first, "the connection is not used again");
}

#[tokio::test]
async fn a_connection_whose_statement_is_cut_off_at_the_deadline_is_not_used_again() {
    let pool = testing::database().await;
    let mut connection = WriterConnection::new(&pool, &[]);
    let (first, began) = (pid(&mut connection).await, Instant::now());
    let slow = Statement::new("SELECT pg_sleep(4)");
    let why = connection.commit(began + Duration::from_millis(300), &slow).await.err().unwrap();
    assert!(matches!(why, sqlx::Error::PoolTimedOut), "{why}");
    assert_eq!(slow.runs(), 1);
    assert_ne!(pid(&mut connection).await, first);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
