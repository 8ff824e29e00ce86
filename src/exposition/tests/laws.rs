//! What holds of every page whatever happened before it.

use proptest::prelude::*;

use super::*;

/// What may happen to a store between two scrapes.
#[derive(Debug, Clone)]
enum Event {
    Answer { row: u32, back: u64, seen: Seen },
    Fault { row: u32, fault: usize },
    Fail { rows: u32, fault: usize },
    Pass { seconds: u64 },
    Heard,
    Silent,
}

const TARGETS: u32 = 6;

fn event() -> impl Strategy<Value = Event> {
    let rtt = || prop::option::of(0..70_000_u32);
    let seen =
        (any::<bool>(), prop::option::of(0..4_u32), rtt(), rtt(), prop::collection::vec(0..4_u64, 0..4))
            .prop_map(|(online, connections, network_rtt_ms, e2e_rtt_ms, conns)| Seen {
                online,
                connections,
                network_rtt_ms,
                e2e_rtt_ms,
                conns_partial: conns.len() > 2,
                conns: conns.into_iter().map(ConnKey).collect(),
                ..Seen::default()
            });
    prop_oneof![
        4 => (0..TARGETS + 1, 0..20_u64, seen).prop_map(|(row, back, seen)| Event::Answer { row, back, seen }),
        1 => (0..TARGETS, 0..Fault::ALL.len()).prop_map(|(row, fault)| Event::Fault { row, fault }),
        1 => (0..TARGETS, 0..Fault::ALL.len()).prop_map(|(rows, fault)| Event::Fail { rows, fault }),
        2 => (0..90_u64).prop_map(|seconds| Event::Pass { seconds }),
        1 => Just(Event::Heard),
        1 => Just(Event::Silent),
    ]
}

/// Label text of each series → name, so that a change of bytes shows.
fn head(line: &str) -> &str {
    line.rsplit_once(' ').expect(line).0
}

proptest! {
    #[test]
    fn whatever_happens_nobody_is_left_out_and_the_counts_agree(events in prop::collection::vec(event(), 1..40)) {
        let store = users(TARGETS);
        let mut now = at(1000);
        let mut heads: BTreeMap<(String, Vec<(String, String)>), String> = BTreeMap::new();
        for event in events {
            match event {
                Event::Answer { row: index, back, seen } => {
                    let as_of = Moment {
                        tick: now.tick.back(Duration::from_secs(back)),
                        unix_ms: now.unix_ms - i64::try_from(back).expect("small") * 1000,
                    };
                    store.answered(as_of, &[(row(0, index), Ok(seen))]);
                }
                Event::Fault { row: index, fault } => {
                    store.answered(now, &[(row(0, index), Err(Fault::ALL[fault]))]);
                }
                Event::Fail { rows, fault } => {
                    store.failed(now, &mut (0..rows).map(|n| row(0, n)), Fault::ALL[fault]);
                }
                Event::Pass { seconds } => now = now.plus(Duration::from_secs(seconds)),
                Event::Heard => store.heard(0, 1, now),
                Event::Silent => store.silent(0, 1),
            }
            let page = page(&store, now);
            let samples = read(&page);
            check_laws(&samples);
            for (line, sample) in page.lines().filter(|line| !line.starts_with('#')).zip(&samples) {
                let known = heads.entry((sample.name.clone(), sample.labels.clone())).or_insert_with(|| head(line).into());
                prop_assert_eq!(known.as_str(), head(line));
            }
        }
    }
}

/// What must be true of every page.
fn check_laws(samples: &[Sample]) {
    let of = |name: &'static str, target: &str| {
        samples.iter().filter(|s| s.name == name && s.label("target") == target).collect::<Vec<_>>()
    };
    let mut counted = [0.0, 0.0, 0.0];
    let infos: Vec<_> = samples.iter().filter(|s| s.name == "presence_target_info").collect();
    assert_eq!(infos.len(), TARGETS as usize);
    for info in infos {
        let target = info.label("target");
        let (online, unknown) = (of("presence_online", target), of("presence_unknown", target));
        assert_eq!(online.len() + unknown.len(), 1, "{target}: {online:?} {unknown:?}");
        let state = online.first().map_or(2, |s| usize::from(s.value == 0.0));
        counted[state] += 1.0;
        let only_online = [
            "presence_connection_duration_seconds",
            "presence_connection_start_timestamp_seconds",
            "presence_network_rtt_seconds",
            "presence_e2e_rtt_seconds",
        ];
        for name in only_online {
            assert!(state == 0 || of(name, target).is_empty(), "{name} of {target}");
        }
        assert!(state < 2 || of("presence_connections", target).is_empty());
    }
    let published: Vec<_> =
        samples.iter().filter(|s| s.name == "presence_source_targets").map(|s| s.value).collect();
    assert_eq!(published, counted);
    assert!(samples.iter().all(|s| s.value.is_finite() && s.value >= 0.0));
}
