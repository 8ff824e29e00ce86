//! What the page says from the moment on at which every provider stops to answer.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use presence_exporter::daemon::Desk;
use presence_exporter::domain::Tick;
use presence_exporter::domain::presence::Policy;
use presence_exporter::exposition::Format;
use presence_exporter::http::Control;
use presence_exporter::ports::Clock;
use presence_exporter::simulator::Incident;
use presence_exporter::simulator::faults::Kind;
use tokio::sync::watch;

use super::history::{BEGIN_MS, History};
use super::play::{Scene, scene};

const SECOND: Duration = Duration::from_secs(1);

/// When the providers stop: every target was answered for by then.
const STOP: Duration = Duration::from_secs(300);

/// A target's series: its labels, each family's value.
type Shown = BTreeMap<String, BTreeMap<String, String>>;

/// Every series of the page, by `source` and `target`.
fn shown(desk: &Desk) -> Shown {
    let mut pieces = desk.page(Format::Text, &[]).unwrap_or_else(|_| panic!("no source was named"));
    let mut page = Vec::new();
    while pieces.next_piece(&mut page) {}
    let mut shown = Shown::new();
    for line in String::from_utf8(page).unwrap().lines().filter(|line| line.contains(",target=\"")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (family, labels) = series.split_once('{').unwrap();
        let label = |name: &str| {
            let rest = labels.split_once(&format!("{name}=\""));
            rest.map_or("", |(_, rest)| rest.split('"').next().unwrap())
        };
        let target = format!("{} {}", label("source"), label("target"));
        let value = format!("{}{value}", label("reason"));
        shown.entry(target).or_default().insert(format!("{family}{}", label("to")), value);
    }
    shown
}

/// Without what says how it stands now.
fn lasting(series: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let lasts = ["_total", "_info", "_timestamp_seconds"];
    let start = "presence_connection_start";
    let of = series
        .iter()
        .filter(|(name, _)| lasts.iter().any(|part| name.contains(part)) && !name.starts_with(start));
    of.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn stop(kind: Kind, reason: &str) {
    let mut history = History::new(3);
    history.policy = Policy::at_once(Duration::from_secs(200));
    (history.interval, history.timeout) = (SECOND * 30, SECOND * 5);
    (history.latency_ms, history.rate, history.concurrency) = ((5, 5), 10, 4);
    let Scene { clock, wire, exporter } = scene(&history);
    let desk = exporter.desk();
    let (_stop, stopped) = watch::channel(false);
    let began = clock.now().tick;
    let mut polling = pin!(exporter.poll(stopped));
    let mut second = 0_u32;
    let mut sleep = clock.sleep_until(began);
    let mut first: Option<Shown> = None;
    let mut turned_unknown = 0;
    let whole = poll_fn(|context| {
        assert!(polling.as_mut().poll(context).is_pending());
        while sleep.as_mut().poll(context).is_ready() {
            let now = clock.now();
            let passed = SECOND * second;
            if passed == STOP {
                wire.core().set_faults(vec![Incident::always("all", kind)], now);
            }
            // What was under way when they stopped is over by then.
            if passed == STOP + SECOND {
                first = Some(shown(&desk));
            }
            if let Some(first) = &first {
                let page = shown(&desk);
                assert!(page.keys().eq(first.keys()), "somebody is left out");
                for (target, series) in &page {
                    let before = &first[target];
                    let observed_s: i64 = series["presence_observed_timestamp_seconds"].parse().unwrap();
                    let log = wire.log();
                    let asked: Vec<Tick> = log
                        .calls
                        .iter()
                        .filter(|call| call.sent.unix_seconds() == observed_s)
                        .map(|call| call.sent.tick)
                        .collect();
                    let (from, to) = (*asked.iter().min().unwrap(), *asked.iter().max().unwrap());
                    assert!(to.since(from) < SECOND);
                    let age = (now.unix_ms - BEGIN_MS) / 1000 - (observed_s - BEGIN_MS / 1000);
                    assert_eq!(lasting(series), lasting(before), "{target}");
                    if now.tick <= from + history.policy.max_age {
                        assert_eq!(
                            series["presence_online"], before["presence_online"],
                            "{target} at {age} s"
                        );
                        assert!(!series.contains_key("presence_unknown"), "{target} at {age} s: {series:?}");
                    } else if now.tick > to + history.policy.max_age {
                        assert!(!series.contains_key("presence_online"), "{target} at {age} s: {series:?}");
                        assert_eq!(series["presence_unknown"], format!("{reason}1"), "{target} at {age} s");
                        turned_unknown += 1;
                    }
                }
            }
            if passed > STOP + history.policy.max_age + SECOND * 40 {
                return Poll::Ready(());
            }
            second += 1;
            sleep = clock.sleep_until(began + SECOND * second);
        }
        Poll::Pending
    });
    clock.run(SECOND * 3600, whole).expect("it ends");
    assert!(turned_unknown > 100, "{turned_unknown}");
}

#[test]
fn when_every_provider_hangs_what_was_seen_stays_until_it_is_too_old_to_the_second() {
    stop(Kind::Hang, "timeout");
}

#[test]
fn when_every_provider_resets_what_was_seen_stays_until_it_is_too_old_to_the_second() {
    stop(Kind::Reset, "unreachable");
}
