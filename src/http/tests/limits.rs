//! Rate limits: what is let through, what comes back, what is forgotten.
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::advance;

use super::config;
use crate::error::Error;
use crate::http::{Bucket, Key, Limits, Prefix};

/// How many of `tries` are let through now.
fn accepted(limits: &Limits, bucket: Bucket, key: Key, tries: usize) -> usize {
    (0..tries).filter(|_| limits.take(bucket, key).is_ok()).count()
}

fn prefix(number: u32) -> Key {
    Key::Prefix(Prefix::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8))))
}

#[tokio::test(start_paused = true)]
async fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
    let figures = [
        (Bucket::Frames, 40, 80),
        (Bucket::Excess, 40, 500),
        (Bucket::Sends, 8, 30),
        (Bucket::Seeks, 2, 20),
        (Bucket::Rooms, 1, 30),
        (Bucket::Visitors, 10, 400),
        (Bucket::Sockets, 50, 500),
        (Bucket::Requests, 50, 200),
        (Bucket::PrefixRequests, 200, 2_000),
        (Bucket::Cookies, 10, 400),
        (Bucket::PrefixFrames, 2_000, 8_000),
        (Bucket::Hellos, 2, 40),
        (Bucket::Joins, 2, 60),
        (Bucket::Leaves, 2, 60),
        (Bucket::Cancels, 2, 20),
        (Bucket::Blocks, 1, 20),
        (Bucket::Signs, 20, 60),
        (Bucket::Reading, 1, 1),
        (Bucket::Deliveries, 1_000, 3_000),
        (Bucket::RoomSends, 100, 300),
        (Bucket::PrefixSends, 20, 120),
        (Bucket::SameText, 1, 20),
        (Bucket::PrefixJoins, 10, 200),
    ];
    let limits = Limits::new(&config());
    for (bucket, _, burst) in figures {
        assert_eq!(accepted(&limits, bucket, Key::Visitor(1), 10_000), burst, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(1), 100), 10);
    assert_eq!(accepted(&limits, Bucket::Typing, Key::Visitor(1), 100), 6);
    advance(Duration::from_secs(1)).await;
    for (bucket, rate, _) in figures {
        assert_eq!(accepted(&limits, bucket, Key::Visitor(1), 10_000), rate, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(1), 100), 0);
    advance(Duration::from_secs(9)).await;
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(1), 100), 1);
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(accepted(&limits, Bucket::Frames, Key::Visitor(1), 1_000), 80, "never more than it holds");
}

#[tokio::test(start_paused = true)]
async fn what_costs_more_takes_more_tokens_and_never_more_than_there_are() {
    let limits = Limits::new(&config());
    let take = |tokens| limits.take_many(Bucket::Deliveries, Key::Visitor(1), tokens).is_ok();
    assert!(take(2_000) && !take(1_001) && take(1_000));
    advance(Duration::from_secs(3)).await;
    assert!(take(1_000_000) && !take(1), "all of them");
    for (bucket, whose, burst) in
        [(Bucket::Typing, (1, 1), 6), (Bucket::Typing, (1, 2), 6), (Bucket::Reading, (1, 1), 1)]
    {
        let taken = (0..20).filter(|_| limits.take_for(bucket, whose).is_ok()).count();
        assert_eq!(taken, burst, "of its own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_gets_its_share_and_no_more() {
    let limits = Limits::new(&config());
    let mut let_through = 0;
    for _ in 0..10_000 {
        let_through += accepted(&limits, Bucket::Sends, Key::Visitor(1), 1);
        advance(Duration::from_millis(1)).await;
    }
    // 30 at once and 8 a second for 10 seconds.
    assert!((109..=111).contains(&let_through), "{let_through}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_and_costs_nothing() {
    let limits = Limits::new(&config());
    accepted(&limits, Bucket::Seeks, Key::Visitor(1), 20);
    for _ in 0..3 {
        let Err(Error::RateLimited { after }) = limits.take(Bucket::Seeks, Key::Visitor(1)) else { panic!() };
        assert_eq!(after, Duration::from_millis(500));
    }
    advance(Duration::from_millis(500)).await;
    assert_eq!(accepted(&limits, Bucket::Seeks, Key::Visitor(1), 5), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_and_buckets_are_apart() {
    let limits = Limits::new(&config());
    assert_eq!(accepted(&limits, Bucket::Seeks, Key::Visitor(1), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, Key::Visitor(2), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, prefix(1), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, prefix(2), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Sends, Key::Visitor(1), 100), 30);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_who_is_held_back_stays_so() {
    let limits = Limits::new(&config());
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(0), 100), 10);
    for visitor in 1..=300_000 {
        limits.take(Bucket::Frames, Key::Visitor(visitor)).unwrap();
        if visitor % 1_000 == 0 {
            assert!(limits.remembered() <= 100_000, "{}", limits.remembered());
        }
    }
    assert!(limits.remembered() > 50_000, "{}", limits.remembered());
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(0), 100), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_can_be_taken_again() {
    let limits = Limits::new(&config());
    assert_eq!(accepted(&limits, Bucket::Cookies, prefix(1), 1_000), 400);
    limits.give_back(Bucket::Cookies, prefix(1));
    limits.give_back(Bucket::Cookies, prefix(2)); // never taken
    assert_eq!(accepted(&limits, Bucket::Cookies, prefix(1), 1_000), 1);
    assert_eq!(accepted(&limits, Bucket::Cookies, prefix(2), 1_000), 400);
}

#[test]
fn limits_that_are_off_refuse_nothing() {
    let limits = Limits::new(&crate::config::Config { limits: false, ..config() });
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(1), 10_000), 10_000);
    assert_eq!(limits.remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn several_tokens_are_taken_together_or_not_at_all() {
    let (limits, key) = (Limits::new(&config()), Key::Visitor(1));
    let take = |bytes| limits.take_many(Bucket::Bytes, key, bytes);
    take(1024 * 1024).unwrap();
    assert!(matches!(take(1), Err(Error::RateLimited { .. })));
    advance(Duration::from_secs(60)).await; // 2 MiB an hour
    assert!(matches!(take(35_500), Err(Error::RateLimited { .. })));
    take(34_500).unwrap();
    assert!(matches!(take(1_000), Err(Error::RateLimited { after }) if after > Duration::ZERO));
    advance(Duration::from_secs(7_200)).await;
    take(1024 * 1024).unwrap();
}
