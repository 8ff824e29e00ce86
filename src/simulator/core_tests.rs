use http::{HeaderMap, Method};

use super::super::faults::When;
use super::super::{Scenario, fake};
use super::*;

const NOW: Moment = Moment { tick: Tick::from_micros(1_000_000), unix_ms: 1_780_000_000_000 };

fn core(options: &Options) -> Core {
    let kinds = [fake::kind("one", "cloud"), fake::kind("two", "cloud"), fake::kind("three", "other")];
    let world = options.scenario.world(&kinds, NOW.unix_ms);
    Core::new(options, &kinds, Arc::new(world), NOW)
}

fn ask(core: &mut Core, now: Moment, server: usize, path: &str) -> Outcome {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let request = SimRequest { method: &method, path, query: "", headers: &headers, body: b"" };
    core.handle(now, server, 1, &request)
}

fn with_fault(kind: Kind) -> Options {
    Options { faults: vec![Incident::always("all", kind)], ..Options::default() }
}

fn body(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_slice(&outcome.reply.body).unwrap()
}

#[test]
fn products_of_one_cloud_share_a_server_and_the_first_answers_what_none_claims() {
    let mut core = core(&Options::default());
    assert_eq!(core.clouds(), ["cloud", "other"]);
    for (server, path, provider) in
        [(0, "/one/List", "one"), (0, "/two/List", "two"), (0, "/x", "one"), (1, "/x", "three")]
    {
        assert_eq!(body(&ask(&mut core, NOW, server, path))["provider"], provider, "{path}");
    }
    assert_eq!(core.record().counts()[&("two", "List")], 1);
    assert_eq!(core.record().fullest_window("cloud", Duration::from_secs(1)), 3);
}

#[test]
fn the_answer_is_the_truth_of_the_instant_by_the_servers_clock() {
    let mut options = Options { clock_offset_ms: 3_600_000, ..Options::default() };
    options.scenario = Scenario { default_targets: 50, ..Scenario::default() };
    let mut core = core(&options);
    let later = NOW.plus(Duration::from_secs(600));
    let outcome = ask(&mut core, later, 0, "/one/List");
    let server_ms = later.unix_ms + 3_600_000;
    assert_eq!(body(&outcome)["now_ms"], server_ms);
    let world = core.world().clone();
    let truth = super::super::Truth::at(&world, server_ms);
    let online: Vec<&str> =
        body_strings(&outcome).into_iter().map(|id| &*Box::leak(id.into_boxed_str())).collect();
    assert_eq!(online, truth.populations[0].online_ids);
    // 1 780 000 000 s + 4 200 s.
    let date = ("date", "Thu, 28 May 2026 21:36:40 GMT".to_owned());
    assert!(outcome.reply.headers.contains(&date), "{:?}", outcome.reply.headers);
}

fn body_strings(outcome: &Outcome) -> Vec<String> {
    let online = body(outcome)["online"].as_array().unwrap().clone();
    online.into_iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn no_second_holds_more_than_the_limit_and_refused_requests_do_not_count() {
    let mut core = core(&Options { rate_limit: Some(2), ..Options::default() });
    let mut status =
        |ms: u64| ask(&mut core, NOW.plus(Duration::from_millis(ms)), 0, "/one/List").reply.status;
    let asked: Vec<u16> = [0, 400, 500, 999, 1_000, 1_399, 1_400].map(&mut status).to_vec();
    assert_eq!(asked, [200, 200, 429, 429, 200, 429, 200]);
    assert_eq!(ask(&mut core, NOW, 1, "/three/List").reply.status, 200, "each server has its own limit");
    assert_eq!(core.record().entries()[2].fault, Some(OVER_LIMIT));
    core.set_rate_limit(None);
    assert_eq!(ask(&mut core, NOW.plus(Duration::from_millis(1_401)), 0, "/one/List").reply.status, 200);
}

#[test]
fn a_fault_of_one_action_leaves_the_others_alone() {
    let incident = Incident { action: Some("List".into()), ..Incident::always("one", Kind::Html) };
    let mut core = core(&Options { faults: vec![incident], ..Options::default() });
    assert_eq!(ask(&mut core, NOW, 0, "/one/List").reply.status, 502);
    assert_eq!(ask(&mut core, NOW, 0, "/one/Detail").reply.status, 200);
    assert_eq!(ask(&mut core, NOW, 0, "/two/List").reply.status, 200);
    let kept: Vec<_> = core.record().entries().iter().map(|e| (e.action, e.status, e.fault)).collect();
    assert_eq!(kept[0], ("List", Some(502), Some("html")));
    assert_eq!(kept[1], ("Other", Some(200), None));
}

#[test]
fn a_new_schedule_begins_when_it_is_set() {
    let mut core = core(&Options::default());
    let later = NOW.plus(Duration::from_secs(100));
    let when = When::Time { from: Duration::ZERO, to: Some(Duration::from_secs(10)) };
    core.set_faults(vec![Incident { when, ..Incident::always("all", Kind::Hang) }], later);
    assert_eq!(ask(&mut core, later, 0, "/one/List").delivery, Delivery::Hang);
    let healed = later.plus(Duration::from_secs(10));
    assert_eq!(ask(&mut core, healed, 0, "/one/List").delivery, Delivery::Whole);
}

#[test]
fn without_sockets_a_client_sees_the_same_faults() {
    let second = Duration::from_secs(1);
    let seen = |kind| ask(&mut core(&with_fault(kind)), NOW, 0, "/one/List").as_seen(3 * second, 10_000);
    let status = |kind| match seen(kind) {
        (after, Ok(response)) => (after, Ok(response.status().as_u16())),
        (after, Err(error)) => (after, Err(error)),
    };
    let unreachable = |kind| matches!(seen(kind), (_, Err(TransportError::Unreachable(_))));
    assert_eq!(status(Kind::Slow(second)), (second, Ok(200)));
    assert_eq!(status(Kind::Drip(2 * second)), (2 * second, Ok(200)));
    assert_eq!(status(Kind::Slow(3 * second)), (3 * second, Err(TransportError::Timeout)));
    assert_eq!(status(Kind::Hang), (3 * second, Err(TransportError::Timeout)));
    assert_eq!(status(Kind::Giant(10_001)), (Duration::ZERO, Err(TransportError::TooLarge)));
    assert_eq!(seen(Kind::Giant(9_999)).1.unwrap().body().len(), 9_999);
    assert_eq!(status(Kind::Html), (Duration::ZERO, Ok(502)));
    assert!(unreachable(Kind::Reset) && unreachable(Kind::ResetInBody) && unreachable(Kind::Truncated));
}

#[test]
fn with_nothing_to_simulate_there_is_still_an_answer() {
    let mut core = Core::new(&Options::default(), &[], Arc::default(), NOW);
    assert_eq!(ask(&mut core, NOW, 0, "/").reply.status, 404);
}
