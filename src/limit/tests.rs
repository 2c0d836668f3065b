use std::{sync::Barrier, thread, time::Duration};

use super::*;
use crate::{
    clock::ManualClock,
    principal::{Identity, Realm},
};

fn rate(text: &str) -> RateLimits {
    text.parse().expect("limits")
}

fn limiter(default: Option<&str>) -> (Limiter, ManualClock) {
    let clock = ManualClock::default();
    let rules = Rules {
        each: default.map(rate),
        ..Rules::default()
    };
    (Limiter::new(rules, Arc::new(clock.clone())), clock)
}

/// So many uses: whether they came through, and what is left.
fn ask(limiter: &Limiter, caller: &Principal, uses: u32) -> Result<Box<Taken>, Box<Taken>> {
    match limiter.charge(caller, || uses) {
        Charge::Taken(taken) => Ok(Box::new(taken)),
        Charge::Refused(left) => Err(Box::new(left)),
        Charge::Free | Charge::Ask(_) => panic!("it is limited, and counted here"),
    }
}

fn comes_through(limiter: &Limiter, caller: &Principal) -> bool {
    matches!(limiter.charge(caller, || 1), Charge::Free | Charge::Taken(_))
}

/// What is left of each limit.
fn remaining(taken: &Taken) -> Vec<(String, u32)> {
    let each = taken.allowances();
    each.iter()
        .map(|one| (one.name.to_string(), one.remaining))
        .collect()
}

fn principal(kind: PrincipalKind, identity: Identity) -> Principal {
    Principal::new(kind, identity, Arc::new(Realm::for_tests()))
}

/// A key of a resolver.
fn key(id: impl fmt::Display) -> Principal {
    principal(PrincipalKind::Key, Identity::new("alice").key_id(id))
}

/// How many come through.
fn through(limiter: &Limiter, caller: &Principal, tries: u32) -> u32 {
    (0..tries)
        .map(|_| u32::from(comes_through(limiter, caller)))
        .sum()
}

#[test]
fn as_many_as_the_limit_says_come_at_once_and_then_one_each_time_that_one_is_worth() {
    for (limit, each) in [("100/1m", 600), ("1/1s", 1000), ("10/1s", 100), ("60/1h", 60_000)] {
        let (limiter, clock) = limiter(Some(limit));
        let caller = key("a");
        let (_, one) = rate(limit)
            .iter()
            .next()
            .map(|(name, one)| (name.to_owned(), one))
            .expect("a limit");
        let requests = one.requests();
        assert_eq!(through(&limiter, &caller, requests + 50), requests, "{limit}");
        clock.advance(Duration::from_millis(each - 1));
        assert_eq!(through(&limiter, &caller, 5), 0, "{limit}");
        clock.advance(Duration::from_millis(1));
        assert_eq!(through(&limiter, &caller, 5), 1, "{limit}");
        // After a pause, however long, no more than at first.
        clock.advance(one.period() * 100);
        assert_eq!(through(&limiter, &caller, requests + 50), requests, "{limit}");
        // In the long run what it says, to the piece.
        let mut count = 0;
        for _ in 0..1000 {
            clock.advance(Duration::from_millis(each));
            count += through(&limiter, &caller, 3);
        }
        assert_eq!(count, 1000, "{limit}");
    }
}

#[test]
fn what_is_left_is_told_to_the_second() {
    let (limiter, clock) = limiter(Some("3/1m"));
    let caller = key("a");
    let mut told = Vec::new();
    for pause in [0, 0, 0, 0, 19, 1, 40] {
        clock.advance(Duration::from_secs(pause));
        let asked = ask(&limiter, &caller, 1);
        let through = asked.is_ok();
        let left = asked.unwrap_or_else(|left| left).allowances();
        let seconds = |time: Duration| time.as_secs();
        told.push((
            through,
            left[0].remaining,
            seconds(left[0].reset),
            seconds(left[0].retry_after),
        ));
    }
    let expected = [
        (true, 2, 20, 0),
        (true, 1, 40, 0),
        (true, 0, 60, 20),
        (false, 0, 60, 20),
        (false, 0, 41, 1),
        (true, 0, 60, 20),
        (true, 1, 40, 0),
    ];
    assert_eq!(told, expected);
}

#[test]
fn of_64_that_come_together_as_many_come_through_as_the_limit_says() {
    for _ in 0..10 {
        let (limiter, _) = limiter(Some("1000/1m"));
        let (caller, start) = (key("a"), Barrier::new(64));
        let all: u32 = thread::scope(|scope| {
            let clients: Vec<_> = (0..64)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        through(&limiter, &caller, 100)
                    })
                })
                .collect();
            clients
                .into_iter()
                .map(|client| client.join().expect("counted"))
                .sum()
        });
        assert_eq!(all, 1000);
    }
}

#[test]
fn keys_are_counted_apart_and_only_those_that_are_limited() {
    let (limiter, _) = limiter(Some("2/1m"));
    let own = Identity::new("alice").key_id("own").rate_limit(rate("5/1m"));
    let session = || Identity::new("alice").name("session");
    for (caller, expected) in [
        (key("a"), 2),
        (key("b"), 2),
        (principal(PrincipalKind::Key, own), 5),
        (
            principal(
                PrincipalKind::External,
                Identity::new("external").name("external"),
            ),
            2,
        ),
        (principal(PrincipalKind::Session, session()), 50),
        (
            principal(PrincipalKind::Session, session().rate_limit(rate("4/1m"))),
            4,
        ),
        (key("a"), 0),
    ] {
        assert_eq!(through(&limiter, &caller, 50), expected, "{caller:?}");
    }
    let (unlimited, _) = self::limiter(None);
    assert_eq!(through(&unlimited, &key("a"), 1000), 1000);
    assert!(
        unlimited.used.is_empty(),
        "nothing is kept of those without a limit"
    );
}

#[test]
fn a_limit_that_is_changed_holds_from_the_next_request_on() {
    let (limiter, clock) = limiter(None);
    let with = |limit: &str| {
        principal(
            PrincipalKind::Key,
            Identity::new("alice").key_id("a").rate_limit(rate(limit)),
        )
    };
    assert_eq!(through(&limiter, &with("100/1m"), 200), 100);
    // All that a tighter one allows is used, and no more than that is owed.
    assert_eq!(through(&limiter, &with("10/1s"), 200), 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(through(&limiter, &with("10/1s"), 200), 10);
    // A second's worth of a minute is used.
    assert_eq!(through(&limiter, &with("60/1m"), 200), 59);
}

#[test]
fn a_use_that_came_to_nothing_is_given_back_once() {
    let (limiter, clock) = limiter(Some("3/1m"));
    let caller = key("a");
    let first = ask(&limiter, &caller, 1).expect("through");
    assert_eq!(through(&limiter, &caller, 10), 2);
    assert_eq!(remaining(&limiter.give_back(*first)), [("default".to_owned(), 1)]);
    assert_eq!(through(&limiter, &caller, 10), 1);
    // What has come back by itself is not given back again.
    clock.advance(Duration::from_secs(60));
    let last = ask(&limiter, &caller, 1).expect("through");
    clock.advance(Duration::from_secs(20));
    let _ = ask(&limiter, &caller, 1);
    limiter.give_back(*last);
    assert_eq!(through(&limiter, &caller, 10), 2);
}

/// Whoever holds requests that will be refused further inside gets no more through at one moment for it.
#[test]
fn what_has_leaked_back_meanwhile_is_not_given_back_as_well() {
    for (uses, held) in [(1, 20), (20, 1)] {
        let (limiter, clock) = limiter(Some("20/20s"));
        let caller = key("a");
        let held: Vec<_> = (0..held)
            .map(|_| ask(&limiter, &caller, uses).expect("through"))
            .collect();
        assert_eq!(through(&limiter, &caller, 5), 0);
        clock.advance(Duration::from_millis(18_999));
        assert_eq!(through(&limiter, &caller, 100), 18);
        for taken in held {
            limiter.give_back(*taken);
        }
        assert!(through(&limiter, &caller, 100) <= 2, "{uses}");
    }
}

#[test]
fn a_million_keys_take_no_more_room_than_there_is_and_those_that_used_the_most_are_remembered() {
    let (mut limiter, clock) = limiter(Some("10/1h"));
    limiter.capacity = 1000;
    let busy = key("busy");
    assert_eq!(through(&limiter, &busy, 20), 10);
    for i in 0..1_000_000 {
        assert!(comes_through(&limiter, &key(i)));
        if i % 1000 == 0 {
            assert!(limiter.used.len() <= 1001, "{}", limiter.used.len());
        }
    }
    assert_eq!(through(&limiter, &busy, 20), 0);
    clock.advance(Duration::from_secs(3600));
    for i in 0..1001 {
        assert!(comes_through(&limiter, &key(i)));
    }
    assert!(
        limiter.used.len() <= 1001,
        "whoever has got all back is forgotten"
    );
}

#[test]
fn a_burst_comes_at_once_and_the_rest_as_time_goes_by() {
    let (limiter, clock) = limiter(Some("100/1m;burst=20"));
    let caller = key("a");
    assert_eq!(through(&limiter, &caller, 200), 20);
    // 20 and one each 600 ms, of which the hundredth is at the end of the minute.
    let mut count = 20;
    for _ in 0..600 {
        clock.advance(Duration::from_millis(100));
        count += through(&limiter, &caller, 5);
    }
    assert_eq!(count, 120);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(through(&limiter, &caller, 200), 20);
}

#[test]
fn of_several_limits_each_holds_and_what_one_refuses_uses_none_of_the_others() {
    let (limiter, clock) = limiter(Some("per-second=5/1s,per-hour=12/1h"));
    let caller = key("a");
    assert_eq!(through(&limiter, &caller, 50), 5);
    clock.advance(Duration::from_secs(1));
    assert_eq!(through(&limiter, &caller, 50), 5);
    clock.advance(Duration::from_secs(1));
    assert_eq!(through(&limiter, &caller, 50), 2);
    for _ in 0..50 {
        let left = ask(&limiter, &caller, 1).expect_err("the hour is used up");
        assert_eq!(
            remaining(&left),
            [("per-second".to_owned(), 3), ("per-hour".to_owned(), 0)]
        );
    }
    clock.advance(Duration::from_secs(300));
    assert_eq!(through(&limiter, &caller, 50), 1);
}

#[test]
fn all_keys_of_an_owner_share_what_is_the_owner_s() {
    let clock = ManualClock::default();
    let rules = Rules {
        each: Some(rate("6/1h")),
        owner: Some(rate("10/1h")),
        shared: None,
    };
    let limiter = Limiter::new(rules, Arc::new(clock.clone()));
    let bob = principal(PrincipalKind::Key, Identity::new("bob").key_id("c"));
    let external = principal(PrincipalKind::External, Identity::new("alice").name("external"));
    assert_eq!(through(&limiter, &key("a"), 50), 6);
    // What the key has too little of uses nothing of the owner, nor the other way round.
    assert_eq!(through(&limiter, &key("b"), 50), 4);
    let left = ask(&limiter, &key("b"), 1).expect_err("the owner has used all");
    assert_eq!(
        remaining(&left),
        [("default".to_owned(), 2), ("owner".to_owned(), 0)]
    );
    assert_eq!(through(&limiter, &bob, 50), 6);
    assert_eq!(through(&limiter, &external, 50), 6, "it is nobody's");
    clock.advance(Duration::from_secs(360));
    assert_eq!(through(&limiter, &key("b"), 50), 1);
}

#[test]
fn a_request_counts_for_as_many_as_it_costs() {
    let (limiter, clock) = limiter(Some("10/10s"));
    let caller = key("a");
    let uses = |uses: u32| ask(&limiter, &caller, uses).is_ok();
    assert_eq!([uses(7), uses(4), uses(3), uses(1)], [true, false, true, false]);
    let left = ask(&limiter, &caller, 4).expect_err("all is used");
    assert_eq!(left.allowances()[0].retry_after, Duration::from_secs(4));
    assert!(
        matches!(limiter.charge(&caller, || 0), Charge::Free),
        "what costs nothing comes through"
    );
    clock.advance(Duration::from_secs(9));
    assert!(!uses(1000), "it counts for all of them, and one is missing");
    clock.advance(Duration::from_secs(1));
    assert_eq!([uses(1000), uses(1)], [true, false]);
    // What it cost is what is given back.
    clock.advance(Duration::from_secs(10));
    let taken = ask(&limiter, &caller, 8).expect("through");
    assert_eq!(
        remaining(&limiter.give_back(*taken)),
        [("default".to_owned(), 10)]
    );
}

#[test]
fn other_limits_do_not_forget_what_was_used_in_whatever_order_and_under_whatever_names() {
    let (limiter, _) = limiter(None);
    let with = |limits: &str| {
        let identity = Identity::new("alice").key_id("a").rate_limit(rate(limits));
        principal(PrincipalKind::Key, identity)
    };
    assert_eq!(through(&limiter, &with("day=10/1d"), 50), 10);
    for others in [
        "renamed=10/1d",
        "x=1000/1s,day=10/1d",
        "day=10/1d,x=1000/1s",
        "day=10/25h",
        "x=1000/1s,y=1000/1m,z=1000/1h,day=10/1d",
        "day=9/1d",
    ] {
        assert_eq!(through(&limiter, &with(others), 50), 0, "{others}");
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_out_for_longer_than_all_of_a_limit() {
    let (mut owed, limits) = (Owed::default(), rate("10/1m"));
    let day = 24 * 60 * 60 * 1_000_000;
    for _ in 0..10 {
        assert!(gcra::take(&mut owed, &limits, 1, 2 * day).is_ok());
    }
    assert!(gcra::take(&mut owed, &limits, 1, day).is_err());
    let taken = (1..=60).filter(|second| gcra::take(&mut owed, &limits, 1, day + second * 1_000_000).is_ok());
    assert_eq!(taken.count(), 10);
}
