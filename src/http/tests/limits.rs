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
    use Bucket::{Frames, PrefixFrames, Reports, Requests, Rooms, Seeks, Sends, Sockets, Visitors};
    let figures = [
        (Frames, 40, 80),
        (Sends, 8, 30),
        (Seeks, 2, 20),
        (Rooms, 1, 30),
        (Visitors, 10, 400),
        (Sockets, 50, 500),
        (Requests, 50, 200),
        (PrefixFrames, 2_000, 8_000),
    ];
    let limits = Limits::new(&config());
    for (bucket, _, burst) in figures {
        assert_eq!(accepted(&limits, bucket, Key::Visitor(1), 10_000), burst, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Reports, Key::Visitor(1), 100), 10);
    advance(Duration::from_secs(1)).await;
    for (bucket, rate, _) in figures {
        assert_eq!(accepted(&limits, bucket, Key::Visitor(1), 10_000), rate, "{bucket:?}");
    }
    assert_eq!(accepted(&limits, Reports, Key::Visitor(1), 100), 0);
    advance(Duration::from_secs(9)).await;
    assert_eq!(accepted(&limits, Reports, Key::Visitor(1), 100), 1);
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(accepted(&limits, Frames, Key::Visitor(1), 1_000), 80, "never more than it holds");
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

#[test]
fn limits_that_are_off_refuse_nothing() {
    let limits = Limits::new(&crate::config::Config { limits: false, ..config() });
    assert_eq!(accepted(&limits, Bucket::Reports, Key::Visitor(1), 10_000), 10_000);
    assert_eq!(limits.remembered(), 0);
}
