//! Keys that are handed out for a while: each way gets its key over real sockets, has the next one before the old one
//! ends, goes on with the old one while it holds, and then says what is wrong. The simulated products take no other key.

use std::fs;
use std::path::Path;
use std::time::Duration;

use presence_exporter::domain::Fault;
use presence_exporter::providers::find;
use presence_exporter::providers::sim::Trouble;
use presence_exporter::simulator::Incident;
use presence_exporter::simulator::faults::Kind;

use crate::contract::together;
use crate::stage::{PAST_PAUSES, Script, Stage, reason, still_world};

/// How long a key lives here; it is due after four fifths of that.
const LIFE_S: u64 = 1200;

/// How far time moves at once: less than answers count, and less than what is left of a key when it falls due. Metadata
/// hand out keys that have lived for up to half of their life already: a fifth of the rest is two minutes.
const LEAP: Duration = Duration::from_secs(90);

/// One way to credentials.
pub struct Way {
    pub providers: &'static [&'static str],
    pub word: &'static str,
    /// The last request of getting a key.
    pub action: &'static str,
}

const ALIBABA: &[&str] = &["alibaba_smartag", "alibaba_mqtt"];

/// Every way that asks somebody for keys.
pub const WAYS: &[Way] = &[
    Way { providers: ALIBABA, word: "role", action: "AssumeRole" },
    Way { providers: ALIBABA, word: "oidc", action: "AssumeRoleWithOIDC" },
    Way { providers: ALIBABA, word: "ecs", action: "ecs-metadata" },
    Way { providers: ALIBABA, word: "uri", action: "credentials-uri" },
    Way { providers: &["volcengine_rtc"], word: "role", action: "AssumeRole" },
    Way { providers: &["huawei_workspace"], word: "ecs", action: "ecs-metadata" },
    Way { providers: &["huawei_workspace"], word: "id_token", action: "CreateTemporaryAccessKeyByToken" },
];

/// The token that is in the file.
pub const ID_TOKEN: &str = "eyJsim.canary-id-token-4716.sig";

impl Way {
    /// The switches of this way, for keys that live so long.
    pub fn switched(&self, script: Script, token_file: &Path, life_s: u64) -> Script {
        let (file, life) = (token_file.display().to_string(), life_s.to_string());
        self.providers.iter().fold(script, |script, provider| {
            let switches = [
                ("credentials", self.word),
                ("key_life_s", &life),
                ("oidc_token", ID_TOKEN),
                ("oidc_token_file", &file),
                ("id_token", ID_TOKEN),
                ("id_token_file", &file),
            ];
            switches.into_iter().fold(script, |script, (name, value)| script.switch(provider, name, value))
        })
    }

    fn stage(&self, token_file: &Path) -> Stage {
        let kinds: Vec<_> = self.providers.iter().map(|name| find(name).expect("it is registered")).collect();
        let of_kinds = kinds.clone();
        let world = Box::new(move |now_ms| still_world(&of_kinds, 10, now_ms));
        self.switched(Script { kinds, world, ..Script::default() }, token_file, LIFE_S).play()
    }
}

/// A file with the token, in a folder that goes when this does.
fn token_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    fs::write(&file, format!("{ID_TOKEN}\n")).expect("the folder is ours");
    (folder, file)
}

fn asked(stage: &Stage, action: &str) -> usize {
    stage.simulator.record().entries().iter().filter(|entry| entry.action == action).count()
}

#[test]
fn each_way_gets_its_key_and_the_next_one_before_it_is_missed() {
    together(WAYS, |way| {
        let (_folder, file) = token_file();
        let stage = way.stage(&file);
        stage.wait_for_truth();
        let first = asked(&stage, way.action);
        // Two lives of a key.
        for _ in 0..(2 * LIFE_S / LEAP.as_secs()) {
            stage.leap(LEAP);
            stage.wait_for_truth();
        }
        let entries = stage.simulator.record().entries();
        let failed: Vec<_> =
            entries.iter().filter(|entry| entry.status.is_none_or(|status| status >= 300)).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", way.action);
        // One key for all sources of the account: no question got one of its own.
        let renewals = asked(&stage, way.action) - first;
        let per_key = first.max(1);
        assert!((2 * per_key..=6 * per_key).contains(&renewals), "{}: {renewals} of {per_key}", way.action);
    });
}

#[test]
fn a_refused_renewal_keeps_the_key_until_its_end_and_then_says_unauthorized() {
    together(WAYS, |way| {
        let (_folder, file) = token_file();
        let stage = way.stage(&file);
        stage.wait_for_truth();
        let kind = Kind::Worded(Trouble::Unauthorized);
        let refusing = Incident { action: Some(way.action.into()), ..Incident::always("all", kind) };
        stage.simulator.set_faults(vec![refusing]);
        let struck = || stage.simulator.record().entries().iter().filter(|e| e.fault.is_some()).count();
        // Into the last minutes of the key's life.
        for _ in 0..=(LIFE_S / LEAP.as_secs()) {
            if struck() == 0 {
                stage.leap(LEAP);
                stage.wait_for_truth();
            }
        }
        assert!(struck() >= 1, "{}: nobody asked for the next key", way.action);
        // Past its end, and past the time that answers count.
        for _ in 0..4 {
            stage.leap(2 * LEAP);
        }
        for (source, _) in stage.sources() {
            stage.wait_for_unknown(&source, reason(Fault::Unauthorized));
        }
        assert!(struck() <= 12, "{}: {} requests at a closed door", way.action, struck());
        stage.lift();
        for _ in 0..2 {
            stage.leap(PAST_PAUSES);
        }
        stage.wait_for_truth();
    });
}

#[test]
fn a_token_file_that_is_mended_brings_the_account_back() {
    let ways: Vec<&Way> = WAYS.iter().filter(|way| matches!(way.word, "oidc" | "id_token")).collect();
    together(&ways, |way| {
        let (_folder, file) = token_file();
        fs::write(&file, "eyJsim.of-yesterday.sig").expect("the folder is ours");
        let stage = way.stage(&file);
        for (source, _) in stage.sources() {
            stage.wait_for_unknown(&source, reason(Fault::Unauthorized));
        }
        fs::write(&file, ID_TOKEN).expect("the folder is ours");
        // Long before the account would be tried again: the change of the file does it.
        stage.leap(Duration::from_secs(31));
        stage.wait_for_truth();
    });
}

#[test]
fn a_secret_file_that_is_mended_brings_the_account_back_without_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("secret");
    fs::write(&file, "a-mistyped-secret\n").expect("the folder is ours");
    let secret = presence_exporter::providers::sim::SimOptions::default().secret;
    let (inline, reference) = (format!("\"{secret}\""), format!("{{file: \"{}\"}}", file.display()));
    let from_file = move |yaml: String| {
        assert!(yaml.matches(&inline).count() >= 4, "the accounts' secrets were not found in\n{yaml}");
        yaml.replace(&inline, &reference)
    };
    let stage = Script::default().edit(from_file).play();
    for (source, _) in stage.sources() {
        stage.wait_for_unknown(&source, reason(Fault::Unauthorized));
    }
    fs::write(&file, format!("{secret}\n")).expect("the folder is ours");
    stage.leap(Duration::from_secs(31));
    stage.wait_for_truth();
    // A file that is gone for a while takes nobody's secret away.
    fs::remove_file(&file).expect("it is there");
    stage.leap(LEAP);
    stage.wait_for_truth();
}
