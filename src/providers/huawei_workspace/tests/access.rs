//! Keys, tokens, refusals: the faults that they become, and that no secret is ever told.

use http::{HeaderMap, Method};

use super::super::errors::KEY_LOCK;
use super::*;
use crate::providers::sim::{SimReply, SimRequest, Trouble};

/// A simulated API whose clock is off.
struct Skewed(Simulated, i64);

impl SimApi for Skewed {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        self.0.claims(request)
    }
    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        self.0.answer(world, now_ms + self.1, request)
    }
    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        self.0.trouble(trouble, request)
    }
    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        self.0.account_keys(base)
    }
    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.0.source_keys(population)
    }
}

fn on() -> Vec<SimSubject> {
    vec![desktop("PC", "ann", vec![session(1, -600, 600_000)])]
}

fn with(account: Account, options: SimOptions) -> Bench {
    bench_of(Box::new(Simulated::new(options)), account, &on(), &["PC"])
}

fn fault(bench: &Bench) -> Fault {
    let failure = bench.listing().0.unwrap_err();
    assert!(!failure.message.contains("canary"), "{}", failure.message);
    failure.fault
}

#[test]
fn a_wrong_secret_is_unauthorized_waits_and_locks_the_key_for_five_minutes() {
    let other = SimOptions { secret: "another".into(), ..SimOptions::default() };
    let bench = with(key_account(SECRET, None), other);
    for _ in 0..6 {
        assert_eq!(bench.listing().0.unwrap_err().wait, Some(KEY_LOCK));
        assert_eq!(fault(&bench), Fault::Unauthorized);
    }
    let locked = |secret: &str, at_s: u64| {
        let subjects = on();
        let options = SimOptions { secret: SECRET.into(), ..SimOptions::default() };
        let bench =
            bench_of(Box::new(Simulated::new(options)), key_account("wrong", None), &subjects, &["PC"]);
        for _ in 0..6 {
            assert_eq!(fault(&bench), Fault::Unauthorized);
        }
        bench.advance(at_s);
        let provider = Workspace { account: Arc::new(key_account(secret, None)), ..bench.provider };
        let view = View { roster: &bench.roster, lens: bench.subject.lens() };
        bench.loopback.ask(&provider, Question::Listing(&[view])).0.map(|answer| answer.rows.len())
    };
    assert_eq!(locked(SECRET, 299).unwrap_err().fault, Fault::Unauthorized);
    assert_eq!(locked(SECRET, 301).unwrap(), 1);
}

#[test]
fn temporary_keys_need_their_token_and_unknown_keys_are_refused() {
    let temporary = || SimOptions { token: Some("canary/token+=".into()), ..options(&[]) };
    assert!(with(key_account(SECRET, Some("canary/token+=")), temporary()).listing().0.is_ok());
    assert_eq!(fault(&with(key_account(SECRET, None), temporary())), Fault::Unauthorized);
    assert_eq!(fault(&with(key_account(SECRET, Some("canary-other")), temporary())), Fault::Unauthorized);
    let unknown = SimOptions { key_id: "OTHER".into(), ..options(&[]) };
    assert_eq!(fault(&with(key_account(SECRET, None), unknown)), Fault::Unauthorized);
}

#[test]
fn a_skewed_clock_is_told_apart_from_a_wrong_key() {
    for (minutes, good) in [(14, true), (-14, true), (16, false), (-16, false)] {
        let api = Skewed(Simulated::new(options(&[])), minutes * 60_000);
        let bench = bench_of(Box::new(api), key_account(SECRET, None), &on(), &["PC"]);
        match bench.listing().0 {
            Ok(_) => assert!(good, "{minutes}"),
            Err(failure) => assert_eq!((failure.fault, good), (Fault::ClockSkew, false), "{minutes}"),
        }
    }
}

#[test]
fn a_token_is_fetched_once_and_renewed_an_hour_before_its_end() {
    let tokens = |bench: &Bench| {
        bench.loopback.sent().iter().filter(|action| **action == super::super::CREATE_TOKEN.name).count()
    };
    let mut bench = with(password_account(SECRET, Some(PROJECT_ID)), options(&[]));
    assert_eq!(bench.round()["PC"].as_ref().map(|seen| seen.online), Ok(true));
    bench.round();
    assert_eq!(tokens(&bench), 1);
    bench.advance(23 * 3600 - 1);
    bench.listing().0.unwrap();
    assert_eq!(tokens(&bench), 1);
    bench.advance(1);
    bench.listing().0.unwrap();
    assert_eq!((tokens(&bench), bench.loopback.faults()), (2, vec![]));
}

#[test]
fn without_a_project_id_the_token_of_the_regions_project_names_it() {
    let bench = with(password_account(SECRET, None), options(&[]));
    assert_eq!(bench.listing().0.unwrap().rows.len(), 1);
}

#[test]
fn a_refused_token_is_renewed_once_a_question() {
    for trouble in ["decrypt token fail", "The token must be updated."] {
        let refused = move |mut reply: SimReply| {
            let code = if trouble.starts_with("The") { "APIGW.0307" } else { "APIGW.0301" };
            reply.status = 401;
            reply.body = format!(r#"{{"error_code":"{code}","error_msg":"…: {trouble}"}}"#).into_bytes();
            reply
        };
        let bench = with(password_account(SECRET, Some(PROJECT_ID)), options(&[]));
        bench.loopback.meddle(move |n, reply| Ok(if n == 1 { refused(reply) } else { reply }));
        let (answer, receipt) = bench.listing();
        assert_eq!((answer.unwrap().rows.len(), receipt.calls), (1, 4), "token, refused, token, listing");

        let bench = with(password_account(SECRET, Some(PROJECT_ID)), options(&[]));
        bench.loopback.meddle(move |n, reply| Ok(if n % 2 == 1 { refused(reply) } else { reply }));
        let (answer, receipt) = bench.listing();
        assert_eq!((answer.unwrap_err().fault, receipt.calls), (Fault::Unauthorized, 4));
    }
}

#[test]
fn a_shorter_lived_token_is_renewed_after_half_its_life() {
    let bench = bench_of(
        Box::new(Simulated::new(options(&[("token_life_s", "7200")]))),
        password_account(SECRET, Some(PROJECT_ID)),
        &on(),
        &["PC"],
    );
    bench.listing().0.unwrap();
    bench.advance(3599);
    assert_eq!(bench.listing().1.calls, 1);
    bench.advance(1);
    assert_eq!(bench.listing().1.calls, 2, "a token of two hours is renewed after one");
}

#[test]
fn wrong_passwords_and_projects_are_told_apart() {
    assert_eq!(fault(&with(password_account("canary-wrong", None), options(&[]))), Fault::Unauthorized);
    assert_eq!(fault(&with(password_account(SECRET, Some("other")), options(&[]))), Fault::Rejected);
    let mut account = key_account(SECRET, None);
    if let Auth::Key(key) = &mut account.auth {
        key.project_id = "another-project".into();
    }
    assert_eq!(fault(&with(account, options(&[]))), Fault::Rejected);
}

#[test]
fn the_providers_troubles_are_judged_by_its_own_codes() {
    let wait = |seconds| Some(Duration::from_secs(seconds));
    let cases = [
        (Trouble::Throttled { retry_after_s: Some(7) }, Fault::Throttled, wait(7), 1),
        (Trouble::Throttled { retry_after_s: None }, Fault::Throttled, None, 1),
        (Trouble::ServerError, Fault::ServerError, None, 3),
        (Trouble::ErrorUnder200, Fault::ServerError, None, 3),
        (Trouble::Forbidden, Fault::Forbidden, None, 1),
        (Trouble::Unauthorized, Fault::Unauthorized, None, 1),
        (Trouble::WrongType, Fault::BadAnswer, None, 3),
        (Trouble::MissingField, Fault::BadAnswer, None, 3),
    ];
    for (trouble, fault, wait, calls) in cases {
        let mut bench = bench(&[], &on(), &["PC"]);
        let path = format!("/v2/{PROJECT_ID}/connect-desktops");
        let headers = HeaderMap::new();
        let request =
            SimRequest { method: &Method::GET, path: &path, query: "", headers: &headers, body: b"" };
        let reply = Simulated::new(options(&[])).trouble(trouble, &request);
        bench.loopback.meddle(move |_, _| Ok(reply.clone()));
        for (answer, receipt) in [bench.listing(), bench.log()] {
            let failure = answer.unwrap_err();
            assert_eq!((failure.fault, failure.wait, receipt.calls), (fault, wait, calls), "{trouble:?}");
            assert!(receipt.request_id.is_some());
        }
    }
}

#[test]
fn the_simulated_gateway_throttles_in_its_own_words() {
    let bench = bench(&[("calls_per_second", "1")], &on(), &["PC"]);
    bench.listing().0.unwrap();
    let failure = bench.listing().0.unwrap_err();
    assert_eq!((failure.fault, failure.wait), (Fault::Throttled, Some(Duration::from_secs(1))));
    bench.advance(1);
    bench.listing().0.unwrap();
}

#[test]
fn a_failing_extra_reading_never_costs_the_window() {
    let mut bench = bench(&[], &on(), &["PC"]).records_only();
    bench.loopback.meddle(|n, mut reply| {
        if n > 0 {
            reply.status = 500;
        }
        Ok(reply)
    });
    let rows = bench.round();
    assert_eq!(rows["PC"].as_ref().map(|seen| seen.online), Ok(true));
    assert!(bench.loopback.faults().len() >= 3);
}

/// A configuration with these keys of the account and the source.
fn configured(account: &str, source: &str) -> Result<(), String> {
    let yaml = format!(
        "accounts: {{h: {{cloud: huawei, region: cn-north-4, {account}}}}}\n\
         sources: {{s: {{account: h, provider: huawei_workspace, {source} targets: [a]}}}}\n"
    );
    let env = crate::config::testing::MemoryEnv::default();
    let read = crate::providers::configure::configure(&yaml, &env.shared(), std::path::Path::new("/etc"), 0);
    read.map(|_| ()).map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn an_account_has_a_key_or_a_password_and_everything_that_it_needs() {
    let key = "project_id: 0e69, access_key_id: AK, access_key_secret: canary";
    let password = "iam_user: u, iam_password: canary, iam_domain: d";
    assert_eq!(configured(key, ""), Ok(()));
    assert_eq!(configured(&format!("{key}, security_token: t"), "subject: user, lookback: 7d,"), Ok(()));
    assert_eq!(configured(password, "match: id, records_only: true,"), Ok(()));
    assert_eq!(configured(&format!("{password}, project_id: 0e69"), ""), Ok(()));
    let wrong = [
        (format!("{key}, {password}"), "", "both given"),
        ("project_id: 0e69".into(), "", "neither"),
        ("access_key_id: AK, access_key_secret: canary".into(), "", "project_id"),
        ("project_id: 0e69, access_key_id: AK".into(), "", "access_key_secret"),
        ("iam_user: u, iam_domain: d".into(), "", "iam_password"),
        (format!("{password}, project_id: a/b"), "", "no project id"),
        (key.into(), "subject: user, match: id,", "by name only"),
        (key.into(), "lookback: 8d,", "lookback"),
        (key.into(), "subject: device,", "subject"),
    ];
    for (account, source, words) in wrong {
        let problems = configured(&account, source).unwrap_err();
        assert!(problems.contains(words), "{account}: {problems}");
        assert!(!problems.contains("canary"), "{problems}");
    }
}

#[test]
fn the_simulators_own_keys_make_a_configuration() {
    for auth in ["key", "password"] {
        let api = Simulated::new(options(&[("auth", auth), ("subject", "user")]));
        let flow = |keys: Vec<(&str, String)>| {
            keys.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ") + ", "
        };
        let account = flow(api.account_keys("http://127.0.0.1:1")).replace("region: sim-region-1, ", "");
        let source = flow(api.source_keys(&Population::new(super::super::NAME, PROJECT_ID, vec![])));
        assert_eq!(configured(&account, &source), Ok(()));
    }
}
