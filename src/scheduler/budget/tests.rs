//! No window exceeds its limit, however callers stall, throttle, restart and share; and nearly all of it is used.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{Limit, Moment};

static FREE: Action = action("Free", &[]);
static TIGHT: Action = action("Tight", &[Limit::per_second(7)]);
static SHARED: Action = action(
    "Shared",
    &[Limit { calls: 13, per: Window::Second, scope: Scope::Address }, Limit::per_second(11)],
);

const fn action(name: &'static str, limits: &'static [Limit]) -> Action {
    Action { name, ids_per_call: 1, limits, lag: Duration::ZERO, billed: false, source: "a test" }
}

/// The most instants in any half-open stretch of this length.
fn fullest(sent: &[u64], window: Duration) -> usize {
    let window = u64::try_from(window.as_micros()).unwrap();
    let (mut first, mut most) = (0, 0);
    for (last, at) in sent.iter().enumerate() {
        while at - sent[first] >= window {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

/// Nobody may find a stretch in which more was sent than the quota allows.
fn keeps(sent: &[u64], quota: &Quota) -> Result<(), TestCaseError> {
    for seconds in [1_u32, 2, 5, 60] {
        let most = fullest(sent, Duration::from_secs(seconds.into()));
        let allowed = (quota.per_second * f64::from(seconds)).ceil().max(1.0);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let most = most as f64;
        prop_assert!(most <= allowed, "{most} in {seconds} s at {quota:?}");
    }
    for &(window, calls) in &quota.longer {
        let most = fullest(sent, window.length());
        prop_assert!(most as u64 <= calls, "{most} in a {} at {quota:?}", window.as_str());
    }
    Ok(())
}

fn quotas() -> impl Strategy<Value = Quota> {
    let longer = prop::collection::vec((1..Window::ALL.len(), 1_u64..3_000), 0..3);
    (1_u32..300, longer).prop_map(|(rate, longer)| {
        let mut longer: Vec<_> = longer.into_iter().map(|(n, calls)| (Window::ALL[n], calls)).collect();
        longer.sort_unstable();
        longer.dedup_by_key(|(window, _)| *window);
        Quota { per_second: f64::from(rate), longer }
    })
}

fn later(tick: Tick, micros: u64) -> Tick {
    Tick::from_micros(tick.as_micros() + micros)
}

/// Most waits are exact, some are late by anything: a timer, a stalled machine, a night without questions.
fn stall(raw: u64) -> u64 {
    match raw % 7 {
        0 => raw % 400_000,
        1 if raw.is_multiple_of(5) => raw * 50_000,
        2 | 3 => raw % 4_000,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_window_exceeds_the_budget_however_callers_stall_and_throttle_and_restart(
        quota in quotas(),
        stalls in prop::collection::vec(0_u64..1_000_000, 1..3_000),
        throttles in 0_usize..500,
        restarts in 300_usize..3_000,
        unsaved in 0_usize..40,
    ) {
        let name = Arc::from("a");
        let mut now = Tick::from_micros(1);
        // The process that ends takes its clock with it; the judge's goes on.
        let mut gone = 0;
        let mut ledger = Arc::<Ledger>::default();
        let mut budget = ledger.account(&name, &quota, now);
        let mut sent: Vec<u64> = Vec::new();
        let moment = |tick: Tick, gone: u64| Moment {
            tick,
            unix_ms: i64::try_from((gone + tick.as_micros()) / 1000).unwrap(),
        };
        let mut memo = ledger.memo(moment(now, gone));
        for (number, raw) in stalls.iter().enumerate() {
            now = later(now, stall(*raw));
            while let Err(free_at) = budget.reserve("p", &FREE, now) {
                prop_assert!(free_at > now);
                now = later(free_at, stall(raw / 7));
            }
            sent.push(gone + now.as_micros());
            if number % (throttles + 5) == throttles {
                budget.throttled(now);
            }
            if number % restarts < restarts - unsaved.min(restarts - 1) {
                memo = ledger.memo(moment(now, gone));
            }
            if number % restarts == restarts - 1 {
                gone += now.as_micros() + raw % 5_000_000;
                now = Tick::from_micros(1_000);
                ledger = Arc::default();
                budget = ledger.account(&name, &quota, now);
                ledger.restore(&memo, moment(now, gone));
                // Of seconds nothing is kept: a process takes longer than one to start.
                gone += 1_000_000;
            }
        }
        keeps(&sent, &quota)?;
    }

    #[test]
    fn whoever_takes_an_account_over_in_the_same_process_goes_on_with_what_was_spent(
        quotas in [quotas(), quotas()],
        stalls in prop::collection::vec(0_u64..1_000_000, 1..2_000),
        often in 1_usize..60,
    ) {
        let name = Arc::from("a");
        let mut now = Tick::from_micros(1);
        let ledger = Arc::<Ledger>::default();
        let mut budget = ledger.account(&name, &quotas[0], now);
        let mut sent: Vec<u64> = Vec::new();
        for (number, raw) in stalls.iter().enumerate() {
            now = later(now, stall(*raw));
            while let Err(free_at) = budget.reserve("p", &FREE, now) {
                now = later(free_at, stall(raw / 7));
            }
            sent.push(now.as_micros());
            if number % often == 0 {
                budget = ledger.account(&name, &quotas[0], now);
            }
        }
        keeps(&sent, &quotas[0])?;
        // With another quota nothing of the old one is used up at once: it begins as if all of it had just been spent.
        budget = ledger.account(&name, &quotas[1], now);
        let changed = sent.len();
        for raw in &stalls {
            while let Err(free_at) = budget.reserve("p", &FREE, now) {
                now = later(free_at, stall(raw / 7));
            }
            sent.push(now.as_micros());
        }
        keeps(&sent[changed..], &quotas[1])?;
    }

    #[test]
    fn no_level_of_the_tree_is_exceeded_by_those_who_share_it(
        rates in prop::collection::vec(1_u32..60, 1..4),
        asks in prop::collection::vec((0_usize..4, 0_usize..3, 0_u64..200_000), 1..600),
    ) {
        let actions = [&FREE, &TIGHT, &SHARED];
        let ledger = Arc::<Ledger>::default();
        let mut now = Tick::from_micros(1);
        let budgets: Vec<Budget> = (0..).zip(&rates)
            .map(|(n, rate)| ledger.account(&Arc::from(format!("{n}")), &Quota::per_second(f64::from(*rate)), now))
            .collect();
        let mut sent: Vec<(usize, usize, u64)> = Vec::new();
        for (who, what, raw) in asks {
            let who = who % budgets.len();
            now = later(now, stall(raw));
            while let Err(free_at) = budgets[who].reserve("p", actions[what], now) {
                now = later(free_at, stall(raw / 7));
            }
            sent.push((who, what, now.as_micros()));
        }
        let of = |is: &dyn Fn(usize, usize) -> bool| -> Vec<u64> {
            sent.iter().filter(|(who, what, _)| is(*who, *what)).map(|(.., at)| *at).collect()
        };
        for (number, rate) in rates.iter().enumerate() {
            keeps(&of(&|who, _| who == number), &Quota::per_second(f64::from(*rate)))?;
            keeps(&of(&|who, what| who == number && what == 1), &Quota::per_second(7.0))?;
            keeps(&of(&|who, what| who == number && what == 2), &Quota::per_second(11.0))?;
        }
        keeps(&of(&|_, what| what == 2), &Quota::per_second(13.0))?;
    }

    #[test]
    fn what_a_former_process_left_is_read_or_not_and_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        ahead in any::<i64>(),
        saved_ms in any::<i64>(),
    ) {
        let now = Moment { tick: Tick::from_micros(1_000_000), unix_ms: 1_700_000_000_000 };
        let quota = Quota { per_second: 5.0, longer: vec![(Window::Hour, 100)] };
        let sane = format!(r#"{{"version":1,"saved_ms":{saved_ms},"accounts":{{"a":{{"hour":{ahead}}}}}}}"#);
        for memo in [bytes.as_slice(), sane.as_bytes()] {
            let ledger = Arc::<Ledger>::default();
            let budget = ledger.account(&Arc::from("a"), &quota, now.tick);
            ledger.restore(memo, now);
            let free_at = budget.free_at().since(now.tick);
            prop_assert!(free_at <= Duration::from_secs(37), "an hour of a hundred is blind for {free_at:?}");
        }
    }
}

/// How much of each window a caller uses who asks whenever it may, each wait a little late.
fn used(quota: &Quota, length: Duration) -> usize {
    let mut now = Tick::from_micros(1);
    let budget = Budget::alone(quota, now);
    let mut sent = 0;
    while now.since(Tick::ZERO) < length {
        match budget.reserve("p", &FREE, now) {
            Ok(()) => sent += 1,
            Err(free_at) => now = later(free_at, 900),
        }
    }
    sent
}

#[test]
fn a_caller_in_time_uses_nearly_all_of_the_budget() {
    let per_second = used(&Quota::per_second(100.0), Duration::from_secs(60));
    assert!((5_820..=6_000).contains(&per_second), "{per_second} of 6000");
    for window in [Window::Minute, Window::Hour, Window::Day, Window::Month] {
        let quota = Quota { per_second: 100.0, longer: vec![(window, 5_000)] };
        let used = used(&quota, window.length() * 3);
        assert!((14_550..=15_000).contains(&used), "{used} of 15000 in three of {}", window.as_str());
    }
}

#[test]
fn a_long_window_is_spent_evenly_and_a_burst_of_two_in_a_hundred_is_made_up() {
    let mut now = Tick::from_micros(1_000_000);
    let budget = Budget::alone(&Quota { per_second: 100.0, longer: vec![(Window::Hour, 3_600)] }, now);
    let mut gaps = Vec::new();
    let ask = |now: &mut Tick| {
        let before = *now;
        while let Err(free_at) = budget.reserve("p", &FREE, *now) {
            *now = free_at;
        }
        now.since(before)
    };
    (0..500).for_each(|_| gaps.push(ask(&mut now)));
    assert!(gaps.iter().all(|gap| *gap < Duration::from_millis(1_100)), "nobody is blind for long");
    now = later(now, 600_000_000);
    let burst = (0..100).take_while(|_| ask(&mut now) < Duration::from_millis(100)).count();
    assert!((65..=73).contains(&burst), "{burst} of 3600 at once");
}

#[test]
fn restarts_that_know_nothing_of_each_other_add_one_request_each_at_most() {
    let quota = Quota { per_second: 100.0, longer: vec![(Window::Hour, 1_000)] };
    let mut sent = 0;
    for _ in 0..30 {
        let mut now = Tick::from_micros(7_000_000_000);
        let (end, budget) = (later(now, 120_000_000), Budget::alone(&quota, now));
        while now < end {
            match budget.reserve("p", &FREE, now) {
                Ok(()) => sent += 1,
                Err(free_at) => now = free_at,
            }
        }
    }
    assert!((970..=1_030).contains(&sent), "{sent} of 1000 in an hour of thirty processes");
}

#[test]
fn an_action_that_must_wait_costs_the_account_nothing() {
    let now = Tick::from_micros(1_000_000);
    let budget = Budget::alone(&Quota::per_second(1_000.0), now);
    assert_eq!(budget.reserve("p", &TIGHT, now), Ok(()));
    let free_at = budget.reserve("p", &TIGHT, later(now, 5_000)).expect_err("seven a second");
    assert!(free_at.since(now) > Duration::from_millis(140), "{free_at:?}");
    assert_eq!(budget.reserve("p", &FREE, later(now, 5_000)), Ok(()));
}

#[test]
fn what_is_held_leaves_when_it_is_let_go() {
    let now = Tick::from_micros(1_000_000);
    let budget = Budget::alone(&Quota::per_second(10.0), now);
    budget.hold(later(now, 9_000_000));
    assert_eq!(budget.reserve("p", &FREE, now), Err(later(now, 9_000_000)));
    budget.hold(Tick::ZERO);
    assert_eq!(budget.reserve("p", &FREE, now), Ok(()));
}

#[test]
fn usage_tells_each_window_and_a_throttle_shows_in_the_rate() {
    let now = Tick::from_micros(1_000_000);
    let budget = Budget::alone(&Quota { per_second: 10.0, longer: vec![(Window::Minute, 100)] }, now);
    assert_eq!(budget.reserve("p", &FREE, now), Ok(()));
    let usage = budget.usage(now);
    assert_eq!(
        usage.iter().map(|usage| (usage.window, usage.used)).collect::<Vec<_>>(),
        [(Window::Second, 1), (Window::Minute, 1)]
    );
    budget.throttled(now);
    budget.throttled(now);
    assert!((budget.rate(now) - 5.0).abs() < 1e-9);
}

#[test]
fn an_account_that_is_opened_again_is_as_slow_as_it_was_unless_its_quota_is_another_one() {
    let (now, name) = (Tick::from_micros(1_000_000), Arc::from("a"));
    let quota = Quota { per_second: 10.0, longer: vec![(Window::Minute, 100)] };
    let ledger = Arc::<Ledger>::default();
    let budget = ledger.account(&name, &quota, now);
    assert_eq!(budget.reserve("p", &FREE, now), Ok(()));
    budget.throttled(now);
    let again = ledger.account(&name, &quota, now);
    assert!((again.rate(now) - 5.0).abs() < 1e-9);
    assert!(again.usage(now).iter().all(|usage| usage.used == 1), "{:?}", again.usage(now));
    assert!(again.reserve("p", &FREE, now).is_err());
    let other = ledger.account(&name, &Quota::per_second(20.0), now);
    assert!((other.rate(now) - 20.0).abs() < 1e-9);
}
