//! Tests of rate limits: what passes, how buckets refill, what is evicted.
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::advance;

use super::config;
use crate::error::Error;
use crate::http::{Bucket, Key, Prefix, RateLimiter};
use crate::ids::VisitorId;

/// Returns how many of `tries` pass now.
fn accepted(limits: &RateLimiter, bucket: Bucket, key: Key, tries: usize) -> usize {
    (0..tries).filter(|_| limits.take(bucket, key).is_ok()).count()
}

fn visitor(number: i64) -> Key {
    Key::Visitor(VisitorId(number))
}

fn prefix(number: u32) -> Key {
    Key::Prefix(Prefix::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8))))
}

#[tokio::test(start_paused = true)]
async fn a_bucket_holds_its_capacity_and_refills_at_its_rate() {
    let figures = [
        (Bucket::Frames, 40, 80),
        (Bucket::ExcessFrames, 40, 500),
        (Bucket::Entries, 8, 30),
        (Bucket::Seeks, 2, 20),
        (Bucket::Rooms, 1, 30),
        (Bucket::Visitors, 10, 400),
        (Bucket::Sockets, 50, 500),
        (Bucket::Requests, 50, 200),
        (Bucket::PrefixRequests, 200, 2_000),
        (Bucket::UnknownCookies, 10, 400),
        (Bucket::PrefixFrames, 2_000, 8_000),
        (Bucket::Hellos, 2, 40),
        (Bucket::Joins, 2, 60),
        (Bucket::Leaves, 2, 60),
        (Bucket::Cancels, 2, 20),
        (Bucket::Blocks, 1, 20),
        (Bucket::EphemeralFrames, 20, 60),
        (Bucket::ReadMarkers, 1, 1),
        (Bucket::EphemeralDeliveries, 1_000, 3_000),
        (Bucket::RoomEntries, 100, 300),
        (Bucket::PrefixEntries, 20, 120),
        (Bucket::RepeatedText, 1, 20),
        (Bucket::PrefixJoins, 10, 200),
    ];
    let limits = RateLimiter::new(&config());
    for (bucket, _, capacity) in figures {
        assert_eq!(accepted(&limits, bucket, visitor(1), 10_000), capacity, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(1), 100), 10);
    assert_eq!(accepted(&limits, Bucket::Typing, visitor(1), 100), 6);
    advance(Duration::from_secs(1)).await;
    for (bucket, rate, _) in figures {
        assert_eq!(accepted(&limits, bucket, visitor(1), 10_000), rate, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(1), 100), 0);
    advance(Duration::from_secs(9)).await;
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(1), 100), 1);
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(accepted(&limits, Bucket::Frames, visitor(1), 1_000), 80, "never more than its capacity");
}

#[tokio::test(start_paused = true)]
async fn an_action_takes_several_tokens_but_never_more_than_the_capacity() {
    let limits = RateLimiter::new(&config());
    let take = |tokens| limits.take_many(Bucket::EphemeralDeliveries, visitor(1), tokens).is_ok();
    assert!(take(2_000) && !take(1_001) && take(1_000));
    advance(Duration::from_secs(3)).await;
    assert!(take(1_000_000) && !take(1), "all of them");
    for (bucket, whose, capacity) in
        [(Bucket::Typing, (1, 1), 6), (Bucket::Typing, (1, 2), 6), (Bucket::ReadMarkers, (1, 1), 1)]
    {
        let taken = (0..20).filter(|_| limits.take_for(bucket, whose).is_ok()).count();
        assert_eq!(taken, capacity, "each owner has its own bucket");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_passes_at_the_rate_of_the_bucket() {
    let limits = RateLimiter::new(&config());
    let mut passed = 0;
    for _ in 0..10_000 {
        passed += accepted(&limits, Bucket::Entries, visitor(1), 1);
        advance(Duration::from_millis(1)).await;
    }
    // 30 at once and 8 a second for 10 seconds.
    assert!((109..=111).contains(&passed), "{passed}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_a_retry_time_and_takes_no_token() {
    let limits = RateLimiter::new(&config());
    accepted(&limits, Bucket::Seeks, visitor(1), 20);
    for _ in 0..3 {
        let Err(Error::RateLimited { after }) = limits.take(Bucket::Seeks, visitor(1)) else { panic!() };
        assert_eq!(after, Duration::from_millis(500));
    }
    advance(Duration::from_millis(500)).await;
    assert_eq!(accepted(&limits, Bucket::Seeks, visitor(1), 5), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_and_buckets_are_independent() {
    let limits = RateLimiter::new(&config());
    assert_eq!(accepted(&limits, Bucket::Seeks, visitor(1), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, visitor(2), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, prefix(1), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Seeks, prefix(2), 100), 20);
    assert_eq!(accepted(&limits, Bucket::Entries, visitor(1), 100), 30);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_throttled_keys_stay_throttled() {
    let limits = RateLimiter::new(&config());
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(0), 100), 10);
    for number in 1..=300_000 {
        limits.take(Bucket::Frames, visitor(number)).unwrap();
        if number % 1_000 == 0 {
            assert!(limits.remembered() <= 100_000, "{}", limits.remembered());
        }
    }
    assert!(limits.remembered() > 50_000, "{}", limits.remembered());
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(0), 100), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refunded_token_can_be_taken_again() {
    let limits = RateLimiter::new(&config());
    assert_eq!(accepted(&limits, Bucket::UnknownCookies, prefix(1), 1_000), 400);
    limits.refund(Bucket::UnknownCookies, prefix(1));
    limits.refund(Bucket::UnknownCookies, prefix(2)); // never taken
    assert_eq!(accepted(&limits, Bucket::UnknownCookies, prefix(1), 1_000), 1);
    assert_eq!(accepted(&limits, Bucket::UnknownCookies, prefix(2), 1_000), 400);
}

#[test]
fn a_limiter_that_is_off_refuses_nothing() {
    let limits = RateLimiter::new(&crate::config::Config { limits: false, ..config() });
    assert_eq!(accepted(&limits, Bucket::Reports, visitor(1), 10_000), 10_000);
    assert_eq!(limits.remembered(), 0);
}

#[tokio::test(start_paused = true)]
async fn several_tokens_are_taken_together_or_not_at_all() {
    let (limits, key) = (RateLimiter::new(&config()), visitor(1));
    let take = |bytes| limits.take_many(Bucket::StoredBytes, key, bytes);
    take(1024 * 1024).unwrap();
    assert!(matches!(take(1), Err(Error::RateLimited { .. })));
    advance(Duration::from_secs(60)).await; // 2 MiB an hour
    assert!(matches!(take(35_500), Err(Error::RateLimited { .. })));
    take(34_500).unwrap();
    assert!(matches!(take(1_000), Err(Error::RateLimited { after }) if after > Duration::ZERO));
    advance(Duration::from_secs(7_200)).await;
    take(1024 * 1024).unwrap();
}
