//! The provider against its simulated API, in process.

mod access;
mod discovery;
mod presence;
mod switches;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::account::{Account, Auth, Keyed};
use super::client::{Memory, Workspace};
use super::keys::{AccessKey, Keys};
use super::map::Subject;
use super::sim::{PROJECT_ID, Simulated};
use super::token::PasswordLogin;
use super::windows::DAY_MS;
use crate::config::Secret;
use crate::domain::{Fault, Platform, Roster, Seen};
use crate::providers::credentials::{Keeper, Written};
use crate::providers::loopback::{self, Loopback};
use crate::providers::sim::{Population, SimApi, SimOptions, SimSession, Subject as SimSubject, World};
use crate::providers::{Answer, Failure, Question, Receipt, View};

/// 2026-03-01T02:03:04Z
const NOW_MS: i64 = 1_772_330_584_000;
const SECRET: &str = "canary-secret-of-no-value";

/// A provider, its simulated API and what a scheduler would keep.
struct Bench {
    loopback: Arc<Loopback>,
    provider: Workspace,
    subject: Subject,
    roster: Roster,
    since_ms: Option<i64>,
}

fn options(switches: &[(&str, &str)]) -> SimOptions {
    let plain = SimOptions { secret: SECRET.into(), ..SimOptions::default() };
    switches.iter().fold(plain, |options, (name, value)| options.with(name, value))
}

fn world(subjects: &[SimSubject]) -> World {
    World { populations: vec![Population::new(super::NAME, PROJECT_ID, subjects.to_vec())] }
}

fn key_account(secret: &str, token: Option<&str>) -> Account {
    let key = AccessKey {
        id: Secret::new("SIMKEYID0001"),
        secret: Secret::new(secret),
        token: token.map(Secret::new),
    };
    let keyed = Keyed { keeper: Keeper::new(Keys::Fixed(key)), project_id: PROJECT_ID.into() };
    Account { endpoint: "http://127.0.0.1:18081".into(), auth: Auth::Key(keyed) }
}

fn password_account(password: &str, project_id: Option<&str>) -> Account {
    let login = PasswordLogin {
        iam_endpoint: "http://127.0.0.1:18081".into(),
        user: "SIMKEYID0001".into(),
        password: Written::fixed(Secret::new(password)),
        domain: "sim-domain".into(),
        project_id: project_id.map(str::to_owned),
        region: "sim-region-1".into(),
        cache: tokio::sync::Mutex::default(),
    };
    Account { endpoint: "http://127.0.0.1:18081".into(), auth: Auth::Password(login) }
}

fn bench_of(api: Box<dyn SimApi>, account: Account, subjects: &[SimSubject], ids: &[&str]) -> Bench {
    let provider = Workspace {
        account: Arc::new(account),
        records_only: false,
        lookback_ms: DAY_MS,
        memory: Mutex::new(Memory::default()),
    };
    let loopback = Loopback::new(api, world(subjects), NOW_MS);
    Bench { loopback, provider, subject: Subject::DesktopName, roster: loopback::roster(ids), since_ms: None }
}

fn bench(switches: &[(&str, &str)], subjects: &[SimSubject], ids: &[&str]) -> Bench {
    bench_of(Box::new(Simulated::new(options(switches))), key_account(SECRET, None), subjects, ids)
}

impl Bench {
    fn of(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    fn records_only(mut self) -> Self {
        self.provider.records_only = true;
        self
    }

    fn now_ms(&self) -> i64 {
        crate::ports::Clock::now(&*self.loopback).unix_ms
    }

    fn advance(&self, seconds: u64) {
        self.loopback.advance(Duration::from_secs(seconds));
    }

    fn view(&self) -> View<'_> {
        View { roster: &self.roster, lens: self.subject.lens() }
    }

    fn listing(&self) -> (Result<Answer, Failure>, Receipt) {
        self.loopback.ask(&self.provider, Question::Listing(&[self.view()]))
    }

    fn log(&mut self) -> (Result<Answer, Failure>, Receipt) {
        let now_ms = self.now_ms();
        let question = Question::Log { views: &[self.view()], since_ms: self.since_ms };
        let answer = self.loopback.ask(&self.provider, question);
        if answer.0.is_ok() {
            self.since_ms = Some(now_ms);
        }
        answer
    }

    /// A whole round, as the scheduler asks it; the rows by id.
    fn round(&mut self) -> BTreeMap<String, Result<Seen, Fault>> {
        let log = self.log().0.expect("a good log");
        if self.provider.records_only {
            return self.by_id(&log);
        }
        assert!(log.rows.is_empty());
        let listing = self.listing().0.expect("a good listing");
        self.by_id(&listing)
    }

    fn by_id(&self, answer: &Answer) -> BTreeMap<String, Result<Seen, Fault>> {
        answer.rows.iter().map(|(row, said)| (self.roster.id(row.index).to_owned(), said.clone())).collect()
    }
}

/// A session that began and ended so many seconds from [`NOW_MS`], set up in two seconds.
fn session(id: u64, start_s: i64, end_s: i64) -> SimSession {
    SimSession {
        id,
        start_ms: NOW_MS + start_s * 1000,
        setup_ms: 2000,
        end_ms: NOW_MS + end_s * 1000,
        platform: Platform::Windows,
        network_rtt_ms: 20,
        e2e_rtt_ms: 40,
        failure: None,
    }
}

fn desktop(id: &str, user: &str, sessions: Vec<SimSession>) -> SimSubject {
    SimSubject { id: id.into(), user: user.into(), sessions }
}
