//! What every provider shows when all is well: the right state of the right target, counts, starts and round-trip times
//! as far as its evidence goes, at any size, by every way of asking.

use std::time::Duration;

use presence_exporter::domain::presence::{Presence, View};
use presence_exporter::domain::{Evidence, UnknownReason};
use presence_exporter::providers::sim::{Population, Subject, World};
use presence_exporter::providers::{REGISTRY, find};
use presence_exporter::simulator::{Options, Scenario, Setup};

use super::{But, together};
use crate::stage::{Script, Stage, still_world};

/// What a provider tells beside the state.
#[derive(Clone, Copy)]
struct Tells {
    /// How many connections there are.
    connections: bool,
    /// How many of them can stand at once.
    several: bool,
    /// Round-trip times.
    rtt: bool,
}

const TELLS: But<Tells> = But {
    all: Tells { connections: true, several: true, rtt: false },
    but: &[
        (
            "alibaba_mqtt",
            Tells { connections: false, several: false, rtt: false },
            "a client id has one connection or none, and only that is told",
        ),
        (
            "huawei_workspace",
            Tells { connections: true, several: false, rtt: true },
            "a desktop carries one connection: a newer one takes over; its record has round-trip times",
        ),
    ],
};

/// How far a simulated round-trip time wanders from its first value: by a quarter.
const RTT_MS: [(u16, u16); 2] = [(30, 50), (52, 88)];

/// Compares all that is shown of a target with what is true of it.
fn check_detail(
    provider: &str,
    evidence: Evidence,
    subject: &Subject,
    view: &View,
    stage: &Stage,
) -> Result<(), String> {
    let (now, tells) = (stage.now(), TELLS.of(provider));
    let open: Vec<_> = subject.open(now.unix_ms).collect();
    let wrong = |what: &str| Err(format!("{provider}: {}: {what}: {view:?}, truly {open:?}", subject.id));
    let count = if tells.several { open.len() } else { open.len().min(1) };
    if view.connections != tells.connections.then(|| u16::try_from(count).expect("a few")) {
        return wrong("connections");
    }
    let first = if tells.several { open.first() } else { open.last() };
    let start_is_right = match (first, view.started_s, evidence) {
        (None, started, _) => started.is_none(),
        (Some(session), Some(started), Evidence::Reported) => {
            // When it was begun, or when it stood: each API has its own notion.
            let (begun, stood) = (session.start_ms / 1000, (session.start_ms + session.setup_ms) / 1000);
            (begun..=stood).contains(&i64::from(started))
        }
        (Some(_), Some(started), Evidence::FirstSeen) => {
            (now.unix_seconds() - 60..=now.unix_seconds()).contains(&i64::from(started))
        }
        (Some(_), started, evidence) => started.is_none() && evidence == Evidence::None,
    };
    if !start_is_right {
        return wrong("start");
    }
    for (rtt, (least, most)) in [view.network_rtt_ms, view.e2e_rtt_ms].into_iter().zip(RTT_MS) {
        let told = tells.rtt && !open.is_empty();
        if rtt.is_some() != told || rtt.is_some_and(|ms| !(least..=most).contains(&ms)) {
            return wrong("round-trip time");
        }
    }
    Ok(())
}

#[test]
fn every_target_is_shown_with_all_that_its_provider_tells_of_it() {
    let stage = Script { web: true, ..Script::default() }.play();
    stage.wait_for_truth();
    for (source, population) in stage.sources() {
        let evidence = evidence(&stage, &source);
        // Details may take a question of their own.
        stage.wait("all details", || {
            stage.views(&source).iter().try_for_each(|(id, view)| {
                let subject = population.find(id).expect("only subjects are asked for");
                check_detail(population.provider, evidence, subject, view, &stage)
            })
        });
        let truth = stage.simulator.truth();
        let truth =
            truth.populations.iter().find(|p| p.provider == population.provider).expect("it is there");
        let counts = stage.counts(&source);
        assert_eq!((counts.online, counts.offline), (truth.online, truth.offline), "{source}");
    }
    let (status, page) = stage.fetch("/metrics");
    assert_eq!(status, 200);
    for truth in stage.simulator.truth().populations {
        let of = |family: &str, value: &str| {
            let labels = format!("source=\"{}\"", truth.provider);
            let lines = page.lines().filter(|line| line.starts_with(&format!("{family}{{")));
            lines.filter(|line| line.contains(&labels) && line.ends_with(value)).count()
        };
        let shown = (of("presence_online", " 1"), of("presence_online", " 0"), of("presence_unknown", " 1"));
        assert_eq!(shown, (truth.online, truth.offline, 0), "{}\n{page}", truth.provider);
    }
}

fn evidence(stage: &Stage, source: &str) -> Evidence {
    let snapshot = stage.store.snapshot();
    let source = snapshot.sources.iter().find(|known| *known.spec.name == *source);
    source.expect("every source is installed").spec.evidence
}

#[test]
fn whoever_comes_and_goes_is_never_shown_as_what_they_were_not() {
    let scenario =
        Scenario { default_targets: 25, horizon: Duration::from_secs(3600), ..Scenario::default() };
    let made = scenario.clone();
    let stage = Script {
        options: Options { scenario, ..Options::default() },
        world: Box::new(move |now_ms| made.world(REGISTRY, now_ms)),
        ..Script::default()
    }
    .play();
    stage.wait_for_truth();
    let mut online = Vec::new();
    for _ in 0..20 {
        // Less than an answer may be late, since questions are under way.
        stage.leap(Duration::from_secs(4));
        stage.wait_for_truth();
        online.push(stage.simulator.truth().populations.iter().map(|p| p.online).collect::<Vec<_>>());
    }
    for provider in 0..REGISTRY.len() {
        let moved = online.iter().any(|counts| counts[provider] != online[0][provider]);
        assert!(moved, "nothing happened at {}: {online:?}", REGISTRY[provider].name());
    }
}

#[test]
fn more_targets_than_fit_into_one_call_are_all_asked_for_and_all_shown() {
    const TARGETS: usize = 450;
    let stage = Script {
        world: Box::new(|now_ms| still_world(REGISTRY, TARGETS, now_ms)),
        setup: Setup {
            interval: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            requests_per_second: Some(90.0),
        },
        ..Script::default()
    }
    // A server that sends fewer rows in a page than it is asked for.
    .switch("huawei_workspace", "limit_cap", "100")
    .play();
    stage.wait_for_truth();
    let counts = stage.simulator.record().counts();
    for (source, population) in stage.sources() {
        let shown = stage.counts(&source);
        assert_eq!(shown.online + shown.offline, TARGETS, "{source}: {shown:?}");
        let kind = find(population.provider).expect("it is in the registry");
        let actions =
            kind.actions().iter().filter(|action| action.ids_per_call > 0 || action.name.contains("List"));
        let calls: u64 = actions.filter_map(|action| counts.get(&(kind.name(), action.name))).sum();
        assert!(calls > 1, "{source}: {calls} calls: {counts:?}");
    }
    // Its two lists are of several pages each, and nothing of any page is lost: starts come from records alone.
    stage.wait("all starts", || {
        let views = stage.views("huawei_workspace");
        let lack =
            views.iter().filter(|(_, v)| v.presence == Presence::Online && v.started_s.is_none()).count();
        if lack == 0 { Ok(()) } else { Err(format!("{lack} desktops without a start")) }
    });
    let refused = stage.simulator.record().entries().into_iter().find(|e| e.status.is_some_and(|s| s >= 400));
    assert_eq!(refused, None, "a call asked for more than the provider takes");
}

/// The name and the value of a simulated API's switch.
type Switch = (&'static str, &'static str);

/// A way of asking, or of answering, beside the default.
struct Way {
    provider: &'static str,
    switches: &'static [Switch],
    key: Option<&'static str>,
}

const fn way(provider: &'static str, switches: &'static [Switch]) -> Way {
    Way { provider, switches, key: None }
}

const fn key(provider: &'static str, key: &'static str) -> Way {
    Way { provider, switches: &[], key: Some(key) }
}

#[test]
fn every_way_of_asking_and_of_answering_shows_the_truth() {
    let ways = [
        key("alibaba_smartag", "exact: true"),
        way("alibaba_smartag", &[("offline_rows", "absent")]),
        way("alibaba_smartag", &[("numbers", "true"), ("empty", "absent")]),
        key("alibaba_mqtt", "exact: true"),
        key("alibaba_mqtt", "connect_time: true"),
        way("alibaba_mqtt", &[("order", "reversed")]),
        way("volcengine_rtc", &[("product_error_status", "200")]),
        key("openim", "mode: status_only"),
        way("openim", &[("server", "v3.8.0")]),
        way("openim", &[("server", "v3.1.0"), ("gateways", "3")]),
        way("openim", &[("server", "main"), ("gateways", "3")]),
        way("huawei_workspace", &[("auth", "password")]),
        way("huawei_workspace", &[("subject", "desktop"), ("match", "name")]),
        way("huawei_workspace", &[("subject", "user")]),
        way("huawei_workspace", &[("subject", "user"), ("user_domain", "local.com"), ("limit_cap", "3")]),
        way("huawei_workspace", &[("limit_cap", "8"), ("insert_between_pages", "yes"), ("order", "oldest")]),
        way("huawei_workspace", &[("match", "id"), ("order", "oldest")]),
        way("huawei_workspace", &[("wording", "example"), ("end_time", "null")]),
        way("huawei_workspace", &[("open_sessions", "after_end"), ("transaction_id", "absent")]),
    ];
    together(&ways, |way| {
        let provider = way.provider;
        let mut script = alone(Script::default(), provider);
        for (name, value) in way.switches {
            script = script.switch(provider, name, value);
        }
        if let Some(key) = way.key {
            script = script.source_key(provider, key);
        }
        script.play().wait_for_truth();
    });
}

/// What login records alone say of the five kinds of subjects in a row of a still world: one is on, one never was, one has
/// left, one took over from itself, one has not come yet. Where nothing was ever recorded, nobody can tell.
const BY_RECORDS: [Option<bool>; 5] = [Some(true), None, Some(false), Some(true), None];

#[test]
fn login_records_alone_show_who_is_on_and_who_has_left_and_say_nothing_of_others() {
    let ways: &[(&[Switch], [Option<bool>; 5])] = &[
        (&[], BY_RECORDS),
        (&[("match", "id"), ("limit_cap", "2")], BY_RECORDS),
        (&[("subject", "user"), ("auth", "password")], BY_RECORDS),
        // An account that is never shown open sessions has no proof that anybody who has none is off.
        (&[("open_sessions", "after_end")], [None; 5]),
    ];
    together(ways, |(switches, expected)| {
        let provider = "huawei_workspace";
        let script = alone(Script::default(), provider).source_key(provider, "records_only: true");
        let script =
            switches.iter().fold(script, |script, (name, value)| script.switch(provider, name, value));
        let stage = script.play();
        let by_records = || {
            let asked =
                *stage.simulator.record().counts().get(&(provider, "ListLoginRecordsNew")).unwrap_or(&0);
            if asked < 30 {
                return Err(format!("{asked} requests, too few to have read a day"));
            }
            for (number, (id, view)) in stage.views(provider).iter().enumerate() {
                let shown = match view.presence {
                    Presence::Online => Some(true),
                    Presence::Offline => Some(false),
                    Presence::Unknown(UnknownReason::NeverPolled) => None,
                    Presence::Unknown(reason) => return Err(format!("{id}: {reason:?}")),
                };
                if shown != expected[number % expected.len()]
                    || (shown == Some(true)) != view.started_s.is_some()
                {
                    return Err(format!("{switches:?}: {id} (number {number}): {view:?}"));
                }
            }
            Ok(())
        };
        stage.wait("what records say", by_records);
        let counts = stage.simulator.record().counts();
        assert!(!counts.contains_key(&(provider, "ListDesktopsConnectStatus")), "{counts:?}");
    });
}

/// The same with one provider only.
pub fn alone(mut script: Script, provider: &'static str) -> Script {
    script.kinds.retain(|kind| kind.name() == provider);
    script.world = Box::new(move |now_ms| {
        let kind = find(provider).expect("it is in the registry");
        still_world(&[kind], 10, now_ms)
    });
    script
}

/// Every sign that a signature, a query, a body or a label has to take care of, and letters of other scripts.
const ODD: &[&str] = &[
    "a+b",
    "a/b",
    "a%2Fb",
    "a%b",
    "a&b=c",
    "a b",
    "a*b",
    "a~b",
    "a'b",
    "(a)!",
    "a\"b",
    "a\\b",
    "a;b,c",
    "?a#b",
    "{a}",
    "[a]",
    "a|b",
    "a^b",
    "<a>",
    "@a:b",
    "$a`b",
    "张三",
    "zoë",
    "пользователь",
    "😀",
    "a\u{301}",
    "0017",
    "1e3",
    "null",
    "true",
];

/// The ids that a provider can have, made of the odd ones.
const ODD_IDS: But<fn(&str) -> String> = But {
    all: |odd| odd.to_owned(),
    but: &[
        ("alibaba_mqtt", |odd| format!("GID_odd@@@{odd}"), "a client id is <group>@@@<device>"),
        (
            "volcengine_rtc",
            |odd| {
                let bits = odd.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                (bits >> 1).to_string()
            },
            "ids are 64-bit integers; large ones are spoilt by floating-point numbers",
        ),
    ],
};

#[test]
fn ids_of_any_letters_and_signs_are_asked_for_and_shown() {
    let world = |now_ms| {
        let plain = still_world(REGISTRY, 2 * ODD.len(), now_ms);
        let odd = plain.populations.into_iter().map(|population| {
            let id = ODD_IDS.of(population.provider);
            // Half of them online, and each sign in one who is online and in one who is not.
            let sessions = |online: bool| population.subjects[usize::from(!online)].sessions.clone();
            let subjects = ODD.iter().flat_map(|odd| {
                [(id(odd), true), (id(&format!("{odd}-")), false)].map(|(id, online)| Subject {
                    id,
                    user: String::new(),
                    sessions: sessions(online),
                })
            });
            Population::new(population.provider, population.scope.clone(), subjects.collect())
        });
        World { populations: odd.collect() }
    };
    let stage = Script { world: Box::new(world), web: true, ..Script::default() }.play();
    stage.wait_for_truth();
    for (source, population) in stage.sources() {
        let counts = stage.counts(&source);
        assert_eq!((counts.online, counts.offline), (ODD.len(), ODD.len()), "{source}: {counts:?}");
        assert_eq!(stage.views(&source).len(), population.subjects.len());
    }
    let (_, page) = stage.fetch("/metrics");
    assert!(
        page.contains("target=\"a\\\"b\"")
            && page.contains("target=\"a\\\\b\"")
            && page.contains("target=\"张三\"")
    );
}

#[test]
fn several_instances_of_one_provider_are_kept_apart() {
    // What one account of Workspace sees is one project, and one server of OpenIM has one set of users.
    let kinds: Vec<_> = REGISTRY
        .iter()
        .copied()
        .filter(|kind| !matches!(kind.name(), "huawei_workspace" | "openim"))
        .collect();
    let world_kinds = kinds.clone();
    let world = move |now_ms| {
        let scenario = Scenario { default_targets: 10, populations: 2, ..Scenario::default() };
        scenario.world(&world_kinds, now_ms)
    };
    let stage = Script { kinds, world: Box::new(world), ..Script::default() }.play();
    assert_eq!(stage.sources().len(), 6);
    stage.wait_for_truth();
    assert!(stage.views("alibaba_smartag_2").iter().any(|(_, view)| view.presence == Presence::Online));
}
