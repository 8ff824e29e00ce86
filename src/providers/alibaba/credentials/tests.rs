//! What may be configured, what the vendor's files and variables say, and how each refusal of a key is judged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::Secret;
use crate::config::testing::ChangingEnv;
use crate::domain::Fault;
use crate::ports::{BoxFuture, Env};
use crate::providers::alibaba::fixtures::{NOW_MS, SECRET, options, reply};
use crate::providers::alibaba::simulate;
use crate::providers::configure::configure;
use crate::providers::credentials::Source as _;
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{SimApi, SimOptions, SimReply, SimRequest, Trouble, World};
use crate::providers::{Answer, Costs, Failure, Net, Per, Provider, Question, Step, View};

/// Reads an account with these keys; the problems as printed.
fn problems(env: &Arc<ChangingEnv>, account: &str) -> String {
    let text = format!(
        "accounts:\n  a: {{cloud: alibaba, region: cn-shanghai, {account}}}\n\
         sources:\n  s: {{account: a, provider: alibaba_mqtt, instance: i, targets: [one]}}\n"
    );
    let env: Arc<dyn Env> = env.clone();
    let read = configure(&text, &env, Path::new("/etc"), 0);
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const ROLE: &str = "role_arn: 'acs:ram::1:role/r'";
const KEY: &str = "access_key_id: AK1, access_key_secret: canary";

#[test]
fn every_way_takes_its_own_keys_and_says_so_of_others() {
    let env = ChangingEnv::with_file("/etc/token", "eyJ.canary.sig\n");
    env.write("/etc/empty", "\n");
    let good = [
        KEY.to_owned(),
        format!("credentials: role, {KEY}, {ROLE}, role_duration: 12h, role_external_id: canary"),
        format!("credentials: oidc, {ROLE}, oidc_provider_arn: p, oidc_token_file: token"),
        "credentials: ecs".into(),
        "credentials: ecs, ecs_role: my-role, metadata_without_token: true".into(),
        "credentials: uri, credentials_uri: 'http://127.0.0.1:1/x?token=canary'".into(),
        "credentials: chain".into(),
    ];
    for account in good {
        assert_eq!(problems(&env, &account), "", "{account}");
    }
    let bad = [
        ("security_token: canary".to_owned(), "accounts.a.access_key_id: `access_key_id` is missing"),
        (format!("{KEY}, {ROLE}"), "accounts.a.role_arn: `role_arn` means nothing with credentials: key"),
        (format!("credentials: role, {KEY}"), "accounts.a.role_arn: `role_arn` is missing"),
        (format!("credentials: role, {KEY}, role_arn: admin"), "this is no role's ARN"),
        (format!("credentials: role, {KEY}, {ROLE}, role_duration: 1m"), "accounts.a.role_duration"),
        (format!("credentials: role, {KEY}, {ROLE}, role_session_name: 'a b'"), "this is no session's name"),
        (format!("credentials: role, {KEY}, {ROLE}, sts_endpoint: 'https://h/p'"), "may not have a path"),
        (format!("credentials: oidc, {ROLE}, oidc_provider_arn: p"), "`oidc_token_file` is missing"),
        (
            format!("credentials: oidc, {ROLE}, oidc_provider_arn: p, oidc_token_file: empty"),
            "accounts.a.oidc_token_file: the file named here holds no token",
        ),
        (format!("credentials: ecs, {KEY}"), "means nothing with credentials: ecs"),
        ("credentials: ecs, ecs_role: '../x'".into(), "this is no role's name"),
        ("credentials: ecs, proxy: 'http://u:canary@h:1'".into(), "cannot be asked for through a proxy"),
        ("credentials: uri, credentials_uri: 'ftp://canary'".into(), "not an http:// or https:// address"),
        ("credentials: profile".into(), "none of the vendor's files of profiles is here"),
        ("credentials: profile, credentials_file: none".into(), "the file of profiles cannot be read"),
        ("credentials: rola".into(), "accounts.a.credentials: `rola` is not known here"),
    ];
    for (account, says) in bad {
        let problems = problems(&env, &account);
        assert!(problems.contains(says), "{account}: {problems}");
        assert!(!problems.contains("canary"), "{problems}");
    }
}

/// What a profile's text makes of an account, in a word, with the id of the key that it begins with.
fn profile_of(text: &str, name: Option<&str>) -> Result<String, &'static str> {
    let env = ChangingEnv::with_file("/p", text);
    profile::Profile::open(env, "/p".into(), name.map(str::to_owned)).map(|read| word(&read.recipe()))
}

fn word(recipe: &fetch::Recipe) -> String {
    match recipe {
        fetch::Recipe::Key(key) => format!("key {} {:?}", key.key_id(), key.token()),
        fetch::Recipe::Role(key, role) => {
            format!("role {} {} {} {}", key.key_id(), role.arn, role.session, role.seconds)
        }
        fetch::Recipe::Oidc(_) => "oidc".into(),
        fetch::Recipe::Ecs(ecs) => format!("ecs {:?} {}", ecs.role, ecs.without_token),
        fetch::Recipe::Uri(_) => "uri".into(),
    }
}

const CLI: &str = r#"{"current": "two", "profiles": [
    {"name": "one", "mode": "AK", "access_key_id": "AK1", "access_key_secret": "canary", "language": "en"},
    {"name": "two", "mode": "StsToken", "access_key_id": "STS.1", "access_key_secret": "canary", "sts_token": "t"},
    {"name": "three", "mode": "RamRoleArn", "access_key_id": "AK3", "access_key_secret": "canary",
     "ram_role_arn": "acs:ram::1:role/r", "ram_session_name": "s3", "expired_seconds": 1800},
    {"name": "four", "mode": "EcsRamRole", "ram_role_name": "r4"},
    {"name": "five", "mode": "OIDC", "ram_role_arn": "acs:ram::1:role/r", "oidc_provider_arn": "p",
     "oidc_token_file": "/t", "role_session_name": "s5"},
    {"name": "six", "mode": "External", "process_command": "canary"}]}"#;

const INI: &str = "# a comment\n[default]\ntype = access_key\naccess_key_id = AK1\naccess_key_secret = can#ary\n\n\
    [two]\ntype=ram_role_arn\naccess_key_id=AK2\naccess_key_secret=canary\nrole_arn=acs:ram::1:role/r\n\
    [three]\ntype=ecs_ram_role\nrole_name=r3\n[four]\ntype=rsa_key_pair\npublic_key_id=x\n";

#[test]
fn profiles_are_read_as_the_vendors_tools_write_them() {
    let said = |text, name| profile_of(text, name).unwrap_or_else(str::to_owned);
    assert_eq!(said(CLI, None), r#"key STS.1 Some("t")"#);
    assert_eq!(said(CLI, Some("one")), "key AK1 None");
    assert_eq!(said(CLI, Some("three")), "role AK3 acs:ram::1:role/r s3 1800");
    assert_eq!(said(CLI, Some("four")), r#"ecs Some("r4") true"#);
    assert_eq!(said(CLI, Some("five")), "oidc");
    assert!(said(CLI, Some("six")).contains("mode is none that is known"));
    assert!(said(CLI, Some("seven")).contains("no such profile"));
    assert_eq!(said(INI, None), "key AK1 None");
    assert_eq!(said(INI, Some("two")), "role AK2 acs:ram::1:role/r presence-exporter 3600");
    assert_eq!(said(INI, Some("three")), r#"ecs Some("r3") true"#);
    assert!(said(INI, Some("four")).contains("mode is none that is known"));
    for damaged in ["", "{", "{\"profiles\": 7}", "[default]\ntype=access_key\n", "\u{0}\u{1}"] {
        assert!(profile_of(damaged, None).is_err(), "{damaged:?}");
    }
}

#[test]
fn a_secret_of_an_ini_file_may_hold_a_number_sign() {
    let env = ChangingEnv::with_file("/p", INI);
    let read = profile::Profile::open(env, "/p".into(), None).expect("it is good");
    let fetch::Recipe::Key(key) = read.recipe() else { panic!("a key") };
    assert_eq!(key.secret(), "can#ary");
}

#[test]
fn a_profile_that_changes_is_the_next_key_and_a_bad_one_keeps_the_last() {
    let env = ChangingEnv::with_file("/p", INI);
    let read = profile::Profile::open(env.clone(), "/p".into(), None).expect("it is good");
    assert!(!read.reread());
    env.write("/p", "[default]\ntype=unheard-of\n");
    assert!(!read.reread());
    env.remove("/p");
    assert!(!read.reread());
    assert_eq!(word(&read.recipe()), "key AK1 None");
    env.write("/p", &INI.replace("AK1", "AK9"));
    assert!(read.reread() && !read.reread());
    assert_eq!(word(&read.recipe()), "key AK9 None");
}

#[test]
fn the_chain_takes_the_first_that_is_there() {
    let env = Arc::<ChangingEnv>::default();
    let chain = || {
        let shared: Arc<dyn Env> = env.clone();
        profile::chain(&shared).map(|origin| match origin {
            ways::Origin::Settled(recipe) => word(&recipe),
            ways::Origin::Profile(profile) => format!("profile: {}", word(&profile.recipe())),
            _ => "another".into(),
        })
    };
    let is = |expected: &str| assert_eq!(chain(), Ok(expected.to_owned()));
    is("ecs None true");
    env.set("ALIBABA_CLOUD_IMDSV1_DISABLED", "true");
    env.set("ALIBABA_CLOUD_ECS_METADATA", "r");
    is(r#"ecs Some("r") false"#);
    env.set("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "TRUE");
    assert!(chain().is_err());
    env.set("ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1:1/?x=canary");
    is("uri");
    env.set("HOME", "/home/x");
    env.write("/home/x/.alibabacloud/credentials", INI);
    is("profile: key AK1 None");
    env.write("/home/x/.aliyun/config.json", CLI);
    is(r#"profile: key STS.1 Some("t")"#);
    env.set("ALIBABA_CLOUD_PROFILE", "one");
    is("profile: key AK1 None");
    env.set("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/r");
    env.set("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "p");
    env.set("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/t");
    is("oidc");
    env.set("ALIBABA_CLOUD_ACCESS_KEY_ID", "AK7");
    is("oidc");
    env.set("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "canary");
    is("key AK7 None");
}

/// Asks for nothing but the key.
struct Lessee(Keeper<Ways>);

impl Provider for Lessee {
    fn round(&self) -> Vec<Step> {
        Vec::new()
    }

    fn costs(&self) -> Costs {
        Costs::of([])
    }

    fn ask<'a>(&'a self, _: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move { self.0.lease(net).await.map(|_| Answer::default()) })
    }
}

/// A product that nobody asks.
struct Unasked;

impl SimApi for Unasked {
    fn claims(&self, _: &SimRequest<'_>) -> bool {
        false
    }

    fn answer(&mut self, _: &World, _: i64, _: &SimRequest<'_>) -> SimReply {
        unreachable!("nobody asks the product here")
    }

    fn trouble(&mut self, _: Trouble, _: &SimRequest<'_>) -> SimReply {
        unreachable!("nobody asks the product here")
    }

    fn account_keys(&self, _: &str) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn source_keys(&self, _: &crate::providers::sim::Population) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

const SIM_ROLE: &str = "acs:ram::1234567890123456:role/sim-presence";

fn role(arn: &str) -> fetch::Role {
    fetch::Role { arn: arn.into(), session: "a+b".replace('+', "-"), seconds: 3600, external_id: None }
}

fn key(secret: &str) -> Credentials {
    Credentials::new(Secret::new("AK1"), Secret::new(secret), None)
        .unwrap_or_else(|(_, words)| panic!("{words}"))
}

fn lessee(recipe: fetch::Recipe) -> Lessee {
    let sts = crate::providers::alibaba::Address::configured("http://127.0.0.1:18080").expect("an address");
    let places = fetch::Places { sts, metadata: "http://127.0.0.1:18080".into() };
    Lessee(Keeper::new(Ways::new(ways::Origin::Settled(recipe), places)))
}

fn oidc(arn: &str, token: &str) -> fetch::Recipe {
    let env = ChangingEnv::with_file("/t", token);
    let provider = "acs:ram::1234567890123456:oidc-provider/sim-cluster".to_owned();
    fetch::Recipe::Oidc(fetch::Oidc::new(role(arn), provider, "/t".into(), env))
}

fn loopback(options: SimOptions) -> Arc<Loopback> {
    Loopback::new(simulate(Unasked, options), World::default(), NOW_MS)
}

fn lease(loopback: &Arc<Loopback>, recipe: fetch::Recipe) -> Result<(), Failure> {
    let roster = roster(&[]);
    loopback.ask(&lessee(recipe), Question::Listing(&[View { roster: &roster, lens: 0 }])).0.map(|_| ())
}

fn options_of(way: &str) -> SimOptions {
    options().with("credentials", way).with("oidc_token", "eyJ.canary.sig")
}

#[test]
fn each_refusal_of_a_key_is_the_accounts_and_never_an_ids_and_holds_no_secret() {
    let ecs = |role: Option<&str>| {
        fetch::Recipe::Ecs(fetch::Ecs { role: role.map(str::to_owned), without_token: false })
    };
    let cases = [
        ("role", fetch::Recipe::Role(key("canary-wrong"), role(SIM_ROLE)), Fault::Unauthorized),
        ("role", fetch::Recipe::Role(key(SECRET), role("acs:ram::1:role/none")), Fault::Unauthorized),
        ("oidc", fetch::Recipe::Role(key(SECRET), role(SIM_ROLE)), Fault::Forbidden),
        ("oidc", oidc(SIM_ROLE, "eyJ.canary-old.sig"), Fault::Unauthorized),
        ("oidc", oidc("acs:ram::1:role/none", "eyJ.canary.sig"), Fault::Unauthorized),
        ("oidc", oidc(SIM_ROLE, "\n"), Fault::Unauthorized),
        ("ecs", ecs(Some("another")), Fault::Unauthorized),
        ("uri", ecs(None), Fault::Unauthorized),
        ("uri", fetch::Recipe::Uri(Secret::new("http://h/sim-credentials?for=canary")), Fault::Forbidden),
    ];
    for (way, recipe, fault) in cases {
        let what = word(&recipe);
        let failure = lease(&loopback(options_of(way)), recipe).expect_err(&what);
        assert_eq!(failure.fault, fault, "{way}, {what}: {}", failure.message);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
    let good = [
        ("role", fetch::Recipe::Role(key(SECRET), role(SIM_ROLE))),
        ("oidc", oidc(SIM_ROLE, "eyJ.canary.sig\n")),
        ("ecs", ecs(None)),
        ("ecs", ecs(Some("sim-instance"))),
        ("uri", fetch::Recipe::Uri(Secret::new("http://h/sim-credentials?for=SIMURI.4711"))),
    ];
    for (way, recipe) in good {
        assert_eq!(lease(&loopback(options_of(way)), recipe), Ok(()), "{way}");
    }
}

#[test]
fn metadata_are_asked_without_a_token_only_where_that_is_allowed() {
    let plain = || loopback(options_of("ecs").with("metadata", "plain"));
    let ecs = |without_token| fetch::Recipe::Ecs(fetch::Ecs { role: None, without_token });
    assert_eq!(lease(&plain(), ecs(true)), Ok(()));
    let there = plain();
    assert_eq!(lease(&there, ecs(false)).expect_err("it gives no token").fault, Fault::Unauthorized);
    assert_eq!(there.sent(), ["ecs-metadata"], "nothing was asked without a token");
}

#[test]
fn an_answer_that_is_no_key_is_a_bad_answer_and_is_never_quoted() {
    let bodies = [
        r#"{"Credentials": "canary"}"#,
        r#"{"Credentials": {"AccessKeyId": "canary"}}"#,
        r#"{"Credentials": {"AccessKeyId": "STS.canary", "AccessKeySecret": "canary", "SecurityToken": "canary",
            "Expiration": "canary"}}"#,
        r#"{"Credentials": {"AccessKeyId": "STS.canary", "AccessKeySecret": "canary", "SecurityToken": "canary",
            "Expiration": "2026-01-15T08:40:00Z"}}"#,
        r#"{"Credentials": {"AccessKeyId": "STS.\n", "AccessKeySecret": "canary", "SecurityToken": "canary",
            "Expiration": "2027-01-15T08:40:00Z"}}"#,
        "<html>canary</html>",
        "canary",
        "",
    ];
    for body in bodies {
        let there = loopback(options_of("role"));
        there.meddle(move |_, _| Ok(reply(200, body)));
        let recipe = fetch::Recipe::Role(key(SECRET), role(SIM_ROLE));
        let failure = lease(&there, recipe).expect_err(body);
        assert_eq!(failure.fault, Fault::BadAnswer, "{body}: {}", failure.message);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
}

#[test]
fn a_code_that_is_no_success_refuses_whatever_stands_beside_it() {
    const GOOD: &str = r#""AccessKeyId": "STS.canary", "AccessKeySecret": "canary", "SecurityToken": "canary",
        "Expiration": "2027-01-15T08:40:00Z""#;
    let asked = |body: String| {
        let there = loopback(options_of("uri"));
        there.meddle(move |_, _| Ok(reply(200, &body)));
        lease(&there, fetch::Recipe::Uri(Secret::new("http://h/sim-credentials")))
    };
    for body in [
        format!("{{{GOOD}}}"),
        format!(r#"{{"Code": "Success", {GOOD}}}"#),
        format!(r#"{{"Code": null, {GOOD}}}"#),
    ] {
        assert_eq!(asked(body.clone()), Ok(()), "{body}");
    }
    let refusals = [
        r#"{"Code": "Failed", "Message": "canary"}"#.to_owned(),
        format!(r#"{{"Code": "Failed", {GOOD}}}"#),
        // With an escape, which cannot be borrowed from the answer.
        r#"{"Code": "\u0046ailed"}"#.to_owned(),
    ];
    for body in refusals {
        let failure = asked(body.clone()).expect_err(&body);
        assert_eq!(failure.fault, Fault::Unauthorized, "{body}");
        assert!(failure.message.contains("Failed"), "the code is told: {}", failure.message);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
    for body in [r#"{"Code": "Success"}"#, r#"{"Code": 7, "Message": "canary"}"#, "{}"] {
        let failure = asked(body.to_owned()).expect_err(body);
        assert_eq!(failure.fault, Fault::BadAnswer, "{body}");
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
}

#[test]
fn each_way_says_what_its_keys_cost() {
    let minute = |minutes: u64| Some(Duration::from_secs(minutes * 60));
    let ecs = |role: Option<&str>| {
        fetch::Recipe::Ecs(fetch::Ecs { role: role.map(str::to_owned), without_token: true })
    };
    let half_a_day = fetch::Role { seconds: 43_200, ..role(SIM_ROLE) };
    let cases = [
        (fetch::Recipe::Role(key(SECRET), role(SIM_ROLE)), "AssumeRole", 1, minute(48)),
        (fetch::Recipe::Role(key(SECRET), half_a_day), "AssumeRole", 1, minute(705)),
        (oidc(SIM_ROLE, "eyJ.canary.sig"), "AssumeRoleWithOIDC", 1, minute(48)),
        (ecs(None), "ecs-metadata", 3, None),
        (ecs(Some("sim-instance")), "ecs-metadata", 2, None),
        (fetch::Recipe::Uri(Secret::new("http://h/")), "credentials-uri", 1, None),
    ];
    for (recipe, action, calls, life) in cases {
        let charges = recipe.charges();
        assert_eq!(charges.len(), 1, "{action}");
        assert_eq!(charges[0].action.name, action);
        assert_eq!(charges[0].per, Per::Token { least: calls, most: calls, life }, "{action}");
    }
    assert_eq!(fetch::Recipe::Key(key(SECRET)).charges(), []);
}

#[test]
fn an_oidc_token_that_is_another_than_was_sent_is_a_change() {
    let env = ChangingEnv::with_file("/t", "eyJ.canary-old.sig");
    let provider = "acs:ram::1234567890123456:oidc-provider/sim-cluster".to_owned();
    let recipe = fetch::Recipe::Oidc(fetch::Oidc::new(role(SIM_ROLE), provider, "/t".into(), env.clone()));
    let lessee = lessee(recipe);
    let (there, roster) = (loopback(options_of("oidc")), roster(&[]));
    assert!(!lessee.0.source().reread(), "nothing was sent");
    let asked = || there.ask(&lessee, Question::Listing(&[View { roster: &roster, lens: 0 }])).0.map(|_| ());
    assert!(asked().is_err());
    assert!(!lessee.0.refreshed());
    env.write("/t", "eyJ.canary.sig");
    assert!(lessee.0.refreshed());
    assert_eq!(asked(), Ok(()));
    assert!(!lessee.0.refreshed());
}

fn wrong(key_id: &str, secret: &str, token: Option<&str>) -> Option<&'static str> {
    Credentials::new(Secret::new(key_id), Secret::new(secret), token.map(Secret::new)).err().map(|w| w.0)
}

#[test]
fn what_cannot_stand_in_a_header_is_refused_before_anything_is_sent() {
    assert_eq!(wrong("AK1", "s/01+Qw=", None), None);
    assert_eq!(wrong("STS.A", "s", Some("CAIS+/==&x=1%2B~")), None);
    assert_eq!(wrong("", "s", None), Some("access_key_id"));
    assert_eq!(wrong("A\nB", "s", None), Some("access_key_id"));
    assert_eq!(wrong("A,SignedHeaders=", "s", None), Some("access_key_id"));
    assert_eq!(wrong("AK1", "", None), Some("access_key_secret"));
    assert_eq!(wrong("AK1", "s", Some("two words")), Some("security_token"));
    assert_eq!(wrong("STS.A", "s", None), Some("security_token"));
}

#[test]
fn a_region_is_one_label_of_a_host_name() {
    for good in ["cn-shanghai", "ap-southeast-1", "cn-shanghai-finance-1", "mq-internet-access"] {
        assert!(is_region(good), "{good}");
    }
    for bad in ["", "cn shanghai", "cn-shanghai.evil.example", "CN-SHANGHAI", "-cn", "cn-", "地"] {
        assert!(!is_region(bad), "{bad}");
    }
}
