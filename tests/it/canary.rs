//! Secrets that anybody would recognise go through good times and bad ones, at the noisiest log level; then nothing that
//! the real program printed or served may hold one, nor anything that is made of one.
//!
//! It looks at outputs as a reader does, and first proves that it would find what it looks for.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use presence_exporter::net;
use presence_exporter::providers::configure::configure;
use presence_exporter::providers::sim::{SimOptions, Trouble};
use presence_exporter::providers::{REGISTRY, sim};
use presence_exporter::simulator::faults::Kind;
use serde_json::Value;

use crate::credentials::{ID_TOKEN, WAYS, Way};
use crate::stage::{Script, Stage, meddled};

/// Key ids are shaped like secrets and kept like them.
const KEY_ID: &str = "STS.CANARYKEYID4711";
const SECRET: &str = "canary+secret/4711==";
const WRONG_SECRET: &str = "canary+mistyped/4712==";
const TOKEN: &str = "canary-session-token-4713";
const PROXY_PASSWORD: &str = "canary-proxy-password-4714";
/// Not a secret: a target's id, which has to be found where it is shown.
const PLANTED: &str = "planted-4715";

/// What no output may hold: the secrets, what tokens begin with, and what sent or echoed requests are made of.
const CANARIES: &[&str] = &[
    KEY_ID,
    SECRET,
    WRONG_SECRET,
    TOKEN,
    PROXY_PASSWORD,
    // Users' tokens in OpenIM's answers and the administrator's own: the base64 of {"alg":"HS…
    "eyJhbGciOiJIUz",
    // What the simulated IAM gives out.
    "MIISIM",
    // What the simulated clouds hand out, and what they hand it out for: secrets and tokens of temporary keys, tokens of
    // metadata, the address of a service, an identity provider's token.
    "simsecret",
    "SIMSTS.",
    "SIMMETA.",
    "SIMURI.4711",
    "canary-id-token-4716",
    "HMAC-SHA256",
    "Signature=",
    "SignedHeaders",
    "authorization:",
    "Authorization:",
    "x-auth-token",
    "X-Auth-Token",
    "anonicalRequest",
    "tringToSign",
    "x-acs-signature-nonce",
    "x-sdk-date",
];

/// The canaries that a text holds, as they are, percent-encoded, or in base64.
fn found(text: &str) -> Vec<&'static str> {
    let holds = |canary: &&str| {
        let percent: String = form_urlencoded::byte_serialize(canary.as_bytes()).collect();
        let base64 = BASE64.encode(canary);
        text.contains(*canary) || text.contains(&percent) || text.contains(base64.trim_end_matches('='))
    };
    CANARIES.iter().copied().filter(holds).collect()
}

fn assert_silent(what: &str, text: &str) {
    let found = found(text);
    assert!(found.is_empty(), "{what} holds {found:?}:\n{text}");
}

#[test]
fn a_planted_canary_is_found_in_every_disguise() {
    for canary in CANARIES {
        let percent: String = form_urlencoded::byte_serialize(canary.as_bytes()).collect();
        for text in
            [format!("x{canary}y"), format!("a={percent}&b"), format!("\"{}\"", BASE64.encode(canary))]
        {
            assert!(found(&text).contains(canary), "{canary} in {text}");
        }
    }
    assert_eq!(found("level=WARN msg=\"a question failed\" fault=unauthorized"), [""; 0]);
}

/// Whether an answer with a user's token has been on the wire.
static USER_TOKEN_SENT: AtomicBool = AtomicBool::new(false);

fn watch_for_user_tokens(body: &mut Value) {
    if body["data"].is_array() && body.to_string().contains("eyJhbGciOiJIUz") {
        USER_TOKEN_SENT.store(true, Ordering::Relaxed);
    }
}

/// Simulators that know the canaries, and a configuration that holds them; nobody polls yet.
fn stage() -> Stage {
    stage_of(&[], Path::new(""))
}

/// The same with keys that are handed out in these ways, some of them for the token in a file.
fn stage_of(ways: &[&Way], token_file: &Path) -> Stage {
    let mut script =
        Script { polls: false, kinds: meddled(REGISTRY, watch_for_user_tokens), ..Script::default() };
    script.setup.timeout = Duration::from_secs(1);
    for kind in REGISTRY {
        let options = SimOptions { key_id: KEY_ID.into(), secret: SECRET.into(), ..SimOptions::default() };
        // The simulated Workspace takes the same for a user and a password, and makes tokens for them.
        let options = match kind.name() {
            "openim" => options,
            "huawei_workspace" => options.with("auth", "password"),
            _ => sim::SimOptions { token: Some(TOKEN.into()), ..options },
        };
        script = script.api(kind.name(), options);
    }
    for way in ways {
        script = way.switched(script, token_file, 3600);
    }
    script.target("openim", PLANTED).edit(|yaml| with_proxy(&yaml)).play()
}

/// One more account, behind a proxy that is not there.
fn with_proxy(yaml: &str) -> String {
    let account = format!(
        "accounts:\n  proxied:\n    cloud: openim\n    endpoint: \"http://127.0.0.1:9\"\n    admin_user_id: \"{KEY_ID}\"\n    \
         secret: \"{SECRET}\"\n    proxy: \"http://user:{PROXY_PASSWORD}@127.0.0.1:9\"\n"
    );
    let source = "  proxied:\n    account: proxied\n    provider: openim\n    targets: [somebody]\n";
    yaml.replacen("accounts:\n", &account, 1) + source
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-exporter"));
    command.stdin(Stdio::null());
    command
}

/// What a program printed, on both streams.
fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every failure there is. Those come last that make the exporter pause for a while.
fn failures() -> Vec<Kind> {
    vec![
        Kind::Worded(Trouble::ServerError),
        Kind::Worded(Trouble::ErrorUnder200),
        Kind::Worded(Trouble::WrongType),
        Kind::Worded(Trouble::MissingField),
        Kind::Html,
        Kind::NotJson,
        Kind::Reset,
        Kind::ResetInBody,
        Kind::Truncated,
        Kind::Giant(1 << 30),
        Kind::Hang,
        Kind::Drip(Duration::from_secs(60)),
        Kind::Worded(Trouble::Forbidden),
        Kind::Worded(Trouble::Throttled { retry_after_s: None }),
        Kind::Worded(Trouble::Throttled { retry_after_s: Some(1) }),
        Kind::Worded(Trouble::Unauthorized),
    ]
}

/// The running program, with its log in a file.
struct Exporter {
    child: Child,
    log: std::path::PathBuf,
}

impl Exporter {
    fn start(config: &Path, format: &str, log: std::path::PathBuf) -> Self {
        let file = File::create(&log).expect("the folder is ours");
        let mut command = program();
        command.arg("run").arg("--config.file").arg(config);
        command.args(["--web.listen-address", "127.0.0.1:0", "--log.level", "debug", "--log.format", format]);
        command.stdout(file.try_clone().expect("a file can be shared")).stderr(file);
        Self { child: command.spawn().expect("the program starts"), log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it's there")
    }

    /// Where it listens, by its own log.
    fn address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains("listening"))?;
        let port: String =
            line.split_once("127.0.0.1:")?.1.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{port}"))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended by itself; then there's nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that it serves, heads included.
fn pages(address: &str) -> String {
    let paths = ["/", "/metrics", "/-/ready", "/-/healthy", "/nowhere", "/metrics?source=nobody"];
    let pages = paths.map(|path| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it answers");
        page
    });
    pages.concat()
}

fn run_through_everything(format: &str, ways: &[&Way]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token_file = folder.path().join("token");
    fs::write(&token_file, ID_TOKEN).expect("the folder is ours");
    let stage = stage_of(ways, &token_file);
    let config = folder.path().join("config.yaml");
    fs::write(&config, &stage.yaml).expect("the folder is ours");
    let exporter = Exporter::start(&config, format, folder.path().join("log"));
    let address = stage.wait("the program to listen", || exporter.address().ok_or_else(|| exporter.log()));
    let good = stage.wait("online, offline and the planted target", || {
        let page = pages(&address);
        let shown = REGISTRY.iter().all(|kind| {
            let online = format!("presence_source_targets{{source=\"{}\"", kind.name());
            let line = |line: &&str| line.starts_with(&online) && line.contains("state=\"online\"");
            page.lines().find(line).is_some_and(|line| !line.ends_with(" 0"))
        });
        if shown && page.contains(PLANTED) { Ok(page) } else { Err(page) }
    });
    assert_silent("a page in good times", &good);
    assert!(USER_TOKEN_SENT.load(Ordering::Relaxed), "no user's token was on the wire");
    for kind in failures() {
        let before = struck(&stage);
        stage.strike(kind);
        stage.wait("every cloud to be struck", || {
            let now = struck(&stage);
            let all = now.iter().zip(&before).all(|(now, before)| now > before);
            if all { Ok(()) } else { Err(format!("{}: {before:?}, then {now:?}", kind.name())) }
        });
        assert_silent(&format!("a page under {}", kind.name()), &pages(&address));
    }
    let log = stage.wait("the last refusals in the log", || {
        let log = exporter.log();
        if log.contains("unauthorized") { Ok(log) } else { Err(log) }
    });
    for fault in ["server_error", "bad_answer", "unreachable", "timeout", "throttled"] {
        assert!(log.contains(fault), "nothing was logged of {fault}:\n{log}");
    }
    assert_silent("the log", &log);
    // A request that nobody answered has no id of the provider's, and none is made up.
    let failed = |line: &&str| line.contains("a question failed");
    assert!(log.lines().filter(failed).any(|line| !line.contains("request_id")), "{log}");
    assert!(!log.contains("request_id=\"\"") && !log.contains("\"request_id\":\"\""), "{log}");
}

fn struck(stage: &Stage) -> Vec<usize> {
    let entries = stage.simulator.record().entries();
    let count = |cloud| entries.iter().filter(|entry| entry.cloud == cloud && entry.fault.is_some()).count();
    stage.simulator.addresses().into_iter().map(|(cloud, _)| count(cloud)).collect()
}

#[test]
fn no_log_and_no_page_holds_a_secret_whatever_goes_wrong() {
    crate::contract::together(&["json", "logfmt"], |format| run_through_everything(format, &[]));
}

#[test]
fn nothing_holds_a_key_that_was_handed_out_or_what_it_was_handed_out_for() {
    let sets = [
        ("json", ["role", "ecs"]),
        ("logfmt", ["oidc", "id_token"]),
        ("json", ["ecs", "ecs"]),
        ("logfmt", ["uri", "ecs"]),
    ];
    crate::contract::together(&sets, |(format, [alibaba, huawei])| {
        let way = |provider: &str, word: &str| {
            let found = WAYS.iter().find(|way| way.providers.contains(&provider) && way.word == word);
            found.unwrap_or_else(|| panic!("no way {word} of {provider}"))
        };
        let ways =
            [way("alibaba_mqtt", alibaba), way("volcengine_rtc", "role"), way("huawei_workspace", huawei)];
        run_through_everything(format, &ways);
    });
}

#[test]
fn no_answer_to_a_question_by_hand_holds_a_secret() {
    let stage = stage();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, mistyped) = (folder.path().join("config.yaml"), folder.path().join("mistyped.yaml"));
    fs::write(&config, &stage.yaml).expect("the folder is ours");
    fs::write(&mistyped, stage.yaml.replace(SECRET, WRONG_SECRET)).expect("the folder is ours");
    let ask = |config: &Path, source: &str, form: &str| {
        let mut command = program();
        command
            .args(["query", source, "--output", form, "--log.level", "debug", "--config.file"])
            .arg(config);
        let output = command.output().expect("the program runs");
        let printed = printed(&output);
        assert_silent(&format!("query {source} --output {form}"), &printed);
        (output.status.success(), printed)
    };
    let mut sources: Vec<&str> = REGISTRY.iter().map(|kind| kind.name()).collect();
    sources.push("proxied");
    for form in ["json", "table"] {
        crate::contract::together(&sources, |source| {
            let (good, printed) = ask(&config, source, form);
            assert_eq!(good, *source != "proxied", "{source}: {printed}");
            // The refusals of a wrong signature repeat what was signed.
            let (good, printed) = ask(&mistyped, source, form);
            assert!(!good, "{source}: {printed}");
        });
    }
    for (number, kind) in failures().into_iter().enumerate() {
        stage.strike(kind);
        let form = ["json", "table"][number % 2];
        crate::contract::together(&sources, |source| {
            let (good, printed) = ask(&config, source, form);
            assert!(!good, "{source} under {}: {printed}", kind.name());
        });
    }
}

/// Secrets where none belongs, and secrets that are none. Each is a mistake that somebody makes.
const MISTAKES: &[&str] = &[
    "access_key_id: {SECRET}\n    access_key_secrett: \"{SECRET}\"",
    "access_key_secret: [\"{SECRET}\"]",
    "access_key_secret: {inline: \"{SECRET}\"}",
    "access_key_secret: {env: \"{SECRET}\"}",
    "access_key_secret: {file: \"{SECRET}\"}",
    "access_key_secret: {file: a, env: \"{SECRET}\"}",
    "access_key_secret: \"{SECRET}\"\n    access_key_secret: \"{SECRET}\"",
    "access_key_secret: \"{SECRET}\n    region: x",
    "access_key_secret: \"\\u0007{SECRET}\"",
    "access_key_secret: !!binary {SECRET}",
    "access_key_secret: \"{SECRET}\": \"{SECRET}\"",
    "security_token: {a: {b: \"{SECRET}\"}}",
    "proxy: \"socks9://user:{PROXY_PASSWORD}@nowhere\"",
    "proxy: \"http://user:{PROXY_PASSWORD}@no where:99999999\"",
    "proxy: \"{PROXY_PASSWORD}\"",
];

#[test]
fn no_complaint_about_a_configuration_holds_its_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("config.yaml");
    for mistake in MISTAKES {
        let mistake = mistake.replace("{SECRET}", SECRET).replace("{PROXY_PASSWORD}", PROXY_PASSWORD);
        let yaml = format!(
            "accounts:\n  a:\n    cloud: alibaba\n    region: cn-shanghai\n    {mistake}\nsources:\n  s:\n    account: a\n    \
             provider: alibaba_mqtt\n    instance: i\n    targets: [x]\n"
        );
        fs::write(&config, &yaml).expect("the folder is ours");
        for arguments in
            [vec!["check"], vec!["run", "--web.listen-address", "127.0.0.1:0"], vec!["query", "s"]]
        {
            let mut command = program();
            command.args(&arguments).arg("--config.file").arg(&config);
            let output = command.output().expect("the program runs");
            let printed = printed(&output);
            assert!(!output.status.success() && !printed.is_empty(), "{arguments:?} takes\n{yaml}");
            assert_complaint_is_silent(&yaml, &printed);
        }
        let problems = configure(&yaml, &net::ports().env, Path::new(""), 0).err().expect("it is bad");
        assert_complaint_is_silent(&yaml, &format!("{problems:?}"));
    }
}

/// The names of files and variables are no secrets, even if somebody takes a secret for one.
fn assert_complaint_is_silent(yaml: &str, printed: &str) {
    if !yaml.contains("{env:") && !yaml.contains("{file:") {
        assert_silent(yaml, printed);
    }
}

#[test]
fn a_good_configuration_is_praised_without_its_secrets() {
    let stage = stage();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("config.yaml");
    fs::write(&config, &stage.yaml).expect("the folder is ours");
    let output = program().arg("check").arg("--config.file").arg(&config).output().expect("the program runs");
    assert!(output.status.success(), "{}", printed(&output));
    assert_silent("check", &printed(&output));
}
