//! What a configuration may say, and what is said of a bad one.

use super::*;
use crate::config::testing::MemoryEnv;
use crate::providers::configure::{Configuration, configure};

fn read(account: &str, source: &str) -> Result<Configuration, String> {
    let text = format!(
        "accounts:\n  main:\n    cloud: volcengine\n{account}sources:\n  chat:\n    account: main\n    \
         provider: volcengine_rtc\n{source}    targets: [10001, 10002]\n"
    );
    let env = MemoryEnv::default().with_var("SK", CANARY);
    configure(&text, &env.shared(), std::path::Path::new("/etc/presence"), 0).map_err(|problems| {
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!text.contains("canary"), "{text}");
        text
    })
}

const ACCOUNT: &str = "    access_key_id: SIMKEYID0001\n    access_key_secret: {env: SK}\n    endpoint: http://127.0.0.1:18080/\n";

#[test]
fn a_configured_source_asks_its_app_with_its_accounts_key() {
    let configuration = read(ACCOUNT, "    app_id: 123456\n").expect("a good configuration");
    let source = &configuration.sources[0];
    assert_eq!((source.target_kind, source.evidence), (Kind::User, Evidence::FirstSeen));
    assert!((configuration.accounts[0].settings.quota.per_second - 20.0).abs() < f64::EPSILON);
    let targets: Vec<Target<'_>> = source.roster.iter().collect();
    let (answer, _) = loopback().ask(source.provider.as_ref(), Question::Batch(&targets));
    assert!(answer.expect("an answer").rows[0].1.as_ref().is_ok_and(|seen| seen.online));
    // Signed for another region, which the vendor accepts, and with a session token.
    let account = format!("{ACCOUNT}    region: ap-singapore-1\n    session_token: canary-token\n");
    let configuration = read(&account, "    app_id: 123456\n").expect("a good configuration");
    let loopback = loopback_of(SimOptions { token: Some("canary-token".into()), ..options() });
    let provider = configuration.sources[0].provider.as_ref();
    loopback.ask(provider, Question::Batch(&targets)).0.expect("an answer");
}

#[test]
fn what_is_missing_or_wrong_is_told_with_its_key() {
    let told = |account: &str, source: &str, words: &str| {
        let problems = read(account, source).err().expect("this is not good");
        assert!(problems.contains(words), "{problems}");
    };
    told("    access_key_id: a\n", "    app_id: 1\n", "access_key_secret");
    told("    access_key_secret: canary\n", "    app_id: 1\n", "access_key_id");
    told(ACCOUNT, "", "app_id");
    told(ACCOUNT, "    app_id: 661e000000000000000543cf\n", "app_id");
    told(ACCOUNT, "    app_id: 2147483648\n", "app_id");
    told(ACCOUNT, "    app_id: 0\n", "app_id");
    told(&format!("{ACCOUNT}    session_token: {{env: NONE}}\n"), "    app_id: 1\n", "session_token");
}

#[test]
fn the_simulated_api_gives_the_keys_that_reach_it() {
    let sim = KIND.simulate(SimOptions { token: Some("to\"ken: x".into()), ..options() });
    let lines = |keys: Vec<(&str, String)>| {
        keys.iter().flat_map(|(key, value)| ["    ", key, ": ", value, "\n"]).collect::<String>()
    };
    let account = lines(sim.account_keys("http://127.0.0.1:1")) + "    endpoint: http://127.0.0.1:1\n";
    let source = lines(sim.source_keys(&world().populations[0]));
    let configuration = read(&account, &source).expect("a good configuration");
    let loopback = Loopback::new(sim, world(), NOW_MS);
    let targets: Vec<Target<'_>> = configuration.sources[0].roster.iter().collect();
    let (answer, _) = loopback.ask(configuration.sources[0].provider.as_ref(), Question::Batch(&targets));
    assert!(answer.expect("an answer").rows[0].1.as_ref().is_ok_and(|seen| seen.online));
}
