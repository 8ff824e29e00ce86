//! The keeper over a source that a test holds in its hand.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::domain::Moment;
use crate::ports::{Clock, Entropy, Request, Response, TransportError};
use crate::providers::{Action, Gate, Permit};

const HOUR: Duration = Duration::from_secs(3600);

/// Time, and a way out that nobody may take.
#[derive(Default)]
struct Bench(AtomicU64);

impl Bench {
    fn set(&self, seconds: u64) {
        self.0.store(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Bench {
    fn now(&self) -> Moment {
        Moment { tick: Tick::from_micros(self.0.load(Ordering::Relaxed)), unix_ms: 0 }
    }

    fn sleep_until(&self, _: Tick) -> BoxFuture<'_, ()> {
        unreachable!("a keeper does not sleep")
    }
}

impl Entropy for Bench {
    fn bits(&self) -> u64 {
        0
    }
}

impl Gate for Bench {
    fn permit(&self, _: &'static Action) -> BoxFuture<'_, Permit> {
        unreachable!("the source here asks nobody")
    }

    fn send(&self, _: Permit, _: Request, _: Duration) -> BoxFuture<'_, Result<Response, TransportError>> {
        unreachable!("the source here asks nobody")
    }

    fn failed(&self, _: &'static Action, _: Fault) {}
}

/// Gives out what is on the list, once it may.
struct Hand {
    outcomes: Mutex<VecDeque<Result<Option<Duration>, Failure>>>,
    may: Semaphore,
    fetches: AtomicU64,
    changed: AtomicBool,
    reads: AtomicU64,
}

impl Source for Hand {
    type Key = u64;

    fn reread(&self) -> bool {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.changed.swap(false, Ordering::Relaxed)
    }

    fn fetch<'a>(&'a self, net: &'a Net) -> BoxFuture<'a, Result<Fetched<u64>, Failure>> {
        Box::pin(async move {
            let key = self.fetches.fetch_add(1, Ordering::Relaxed) + 1;
            let from = net.now().tick;
            self.may.acquire().await.expect("it is never closed").forget();
            let life =
                self.outcomes.lock().unwrap().pop_front().expect("nobody asks more often than planned")?;
            Ok(Fetched { key, from, life })
        })
    }

    fn charges(&self) -> Vec<Charge> {
        Vec::new()
    }
}

struct Stage {
    bench: Arc<Bench>,
    keeper: Keeper<Hand>,
}

fn stage(outcomes: impl IntoIterator<Item = Result<Option<Duration>, Failure>>) -> Stage {
    let hand = Hand {
        outcomes: Mutex::new(outcomes.into_iter().collect()),
        may: Semaphore::new(100),
        fetches: AtomicU64::new(0),
        changed: AtomicBool::new(false),
        reads: AtomicU64::new(0),
    };
    Stage { bench: Arc::default(), keeper: Keeper::new(hand) }
}

impl Stage {
    fn net(&self) -> Net {
        Net::new(self.bench.clone(), self.bench.clone(), self.bench.clone(), HOUR)
    }

    /// The key that a question gets at this second.
    fn key(&self, second: u64) -> Result<u64, Failure> {
        self.bench.set(second);
        let net = self.net();
        self.keeper.lease(&net).now_or_never().expect("nobody waits").map(|lease| *lease.key)
    }

    fn lease(&self) -> Lease<u64> {
        self.keeper.lease(&self.net()).now_or_never().expect("nobody waits").unwrap()
    }

    fn renewed(&self, stale: &Lease<u64>) -> Result<u64, Failure> {
        let net = self.net();
        let renewed = self.keeper.renewed(stale, refusal(), &net).now_or_never().expect("nobody waits");
        renewed.map(|lease| *lease.key)
    }

    fn fetches(&self) -> u64 {
        self.keeper.source().fetches.load(Ordering::Relaxed)
    }

    fn change(&self) {
        self.keeper.source().changed.store(true, Ordering::Relaxed);
    }
}

fn refusal() -> Failure {
    Failure::new(Fault::Unauthorized, "refused")
}

fn passing() -> Failure {
    Failure::new(Fault::Unreachable, "away")
}

#[test]
fn a_key_is_renewed_before_its_end_and_a_failed_renewal_keeps_it() {
    let stage = stage([Ok(Some(HOUR)), Err(refusal()), Err(passing()), Ok(Some(HOUR))]);
    assert_eq!(stage.key(0), Ok(1));
    assert_eq!(stage.key(2800), Ok(1));
    assert_eq!(stage.fetches(), 1);
    assert_eq!(stage.key(2880), Ok(1), "the renewal is refused, and the key holds");
    assert_eq!((stage.key(2939), stage.fetches()), (Ok(1), 2));
    assert_eq!((stage.key(2940), stage.fetches()), (Ok(1), 3));
    assert_eq!((stage.key(3060), stage.fetches()), (Ok(4), 4));
}

#[test]
fn past_its_end_a_key_is_not_used_and_the_renewals_fault_is_told() {
    let stage = stage([Ok(Some(HOUR)), Err(refusal()), Err(refusal()), Ok(Some(HOUR))]);
    assert_eq!(stage.key(0), Ok(1));
    assert_eq!(stage.key(3590), Ok(1));
    let failure = stage.key(3600).expect_err("the key has ended, and it is too early to ask again");
    assert_eq!((failure.fault, failure.wait), (Fault::Unauthorized, Some(Duration::from_secs(50))));
    assert_eq!(stage.key(3650).expect_err("refused again").message, "no credentials: refused");
    assert_eq!(stage.fetches(), 3);
    assert_eq!(stage.key(3650 + 120), Ok(4));
}

#[tokio::test]
async fn one_fetches_and_all_who_wait_share_the_outcome() {
    for outcome in [Ok(Some(HOUR)), Err(passing())] {
        let stage = stage([outcome.clone()]);
        stage.keeper.source().may.forget_permits(100);
        let net = stage.net();
        let all = join_all((0..50).map(|_| stage.keeper.lease(&net)));
        let (leases, ()) = futures_util::future::join(all, async {
            tokio::task::yield_now().await;
            stage.keeper.source().may.add_permits(1);
        })
        .await;
        assert!(leases.iter().all(|lease| lease.is_ok() == outcome.is_ok()));
        assert_eq!(stage.fetches(), 1);
    }
}

#[tokio::test]
async fn while_one_renews_the_others_go_on_with_the_key_that_holds() {
    let stage = stage([Ok(Some(HOUR)), Ok(Some(HOUR))]);
    assert_eq!(stage.key(0), Ok(1));
    stage.keeper.source().may.forget_permits(100);
    stage.bench.set(3000);
    let net = stage.net();
    let mut renewal = Box::pin(stage.keeper.lease(&net));
    assert!(renewal.as_mut().now_or_never().is_none(), "the first who finds it due fetches");
    assert_eq!(stage.key(3001), Ok(1), "the next one does not wait");
    stage.keeper.source().may.add_permits(1);
    assert_eq!(*renewal.await.unwrap().key, 2);
    assert_eq!(stage.fetches(), 2);
}

#[test]
fn a_renewal_that_is_given_up_leaves_the_turn_to_the_next() {
    let stage = stage([Ok(Some(HOUR))]);
    stage.keeper.source().may.forget_permits(100);
    let net = stage.net();
    {
        let mut first = Box::pin(stage.keeper.lease(&net));
        assert!(first.as_mut().now_or_never().is_none());
    }
    stage.keeper.source().may.add_permits(1);
    assert_eq!(stage.key(1), Ok(2));
}

#[test]
fn a_refused_key_is_asked_for_anew_once_and_a_new_one_that_is_refused_too_is_not() {
    let stage = stage([Ok(Some(HOUR)), Ok(Some(HOUR))]);
    let first = stage.lease();
    assert_eq!(stage.renewed(&first), Err(refusal()), "it has only just come");
    stage.bench.set(60);
    assert_eq!(stage.renewed(&first), Ok(2));
    assert_eq!(stage.renewed(&first), Ok(2), "somebody else's refusal of the old key");
    let second = stage.lease();
    assert_eq!(stage.renewed(&second), Err(refusal()));
    assert_eq!(stage.fetches(), 2);
}

#[test]
fn a_refused_key_is_not_sent_again_when_there_is_no_other() {
    let stage = stage([Ok(Some(HOUR)), Err(passing()), Ok(Some(HOUR))]);
    let first = stage.lease();
    stage.bench.set(60);
    assert_eq!(stage.renewed(&first).expect_err("away").fault, Fault::Unreachable);
    assert_eq!(stage.key(61).expect_err("too early").fault, Fault::Unreachable);
    assert_eq!(stage.fetches(), 2);
    assert_eq!(stage.key(62), Ok(3));
}

#[test]
fn a_written_key_that_is_refused_stays_refused_until_its_file_changes() {
    let stage = stage([Ok(None), Ok(None)]);
    let first = stage.lease();
    stage.bench.set(3600);
    assert_eq!(stage.renewed(&first), Err(refusal()));
    stage.change();
    assert_eq!(stage.renewed(&first), Ok(2), "files are read at once");
    assert!(stage.keeper.refreshed(), "the scheduler is told, though a question saw it first");
    assert!(!stage.keeper.refreshed(), "once");
}

#[test]
fn a_changed_file_lifts_the_wait_and_is_told_once() {
    let stage = stage([Err(refusal()), Ok(None)]);
    assert!(stage.key(0).is_err());
    assert!(stage.key(1).is_err());
    assert!(!stage.keeper.refreshed());
    stage.change();
    assert!(stage.keeper.refreshed());
    assert_eq!(stage.key(2), Ok(2));
    assert!(!stage.keeper.refreshed());
}

#[test]
fn files_are_looked_at_every_half_minute_while_all_is_well() {
    let stage = stage([Ok(None), Ok(None)]);
    let reads = || stage.keeper.source().reads.load(Ordering::Relaxed);
    for second in 0..=29 {
        assert_eq!(stage.key(second), Ok(1));
    }
    assert_eq!(reads(), 1);
    stage.change();
    assert_eq!((stage.key(30), reads()), (Ok(2), 2));
}

mod files {
    use super::*;
    use crate::config::testing::ChangingEnv;
    use crate::config::{Key, Need, Reader, Secret, Shape, reader, tree};
    use crate::ports::Env;

    const KEYS: &[Key] = &[
        Key { name: "id", shape: Shape::Secret, need: Need::Optional, doc: "" },
        Key { name: "secret", shape: Shape::Secret, need: Need::Optional, doc: "" },
    ];

    fn written(env: &Arc<ChangingEnv>) -> Written<String> {
        let node = tree::parse("id: inline\nsecret: {file: s}\n").unwrap();
        let problems = crate::config::Problems::default();
        let env: Arc<dyn Env> = env.clone();
        let context = reader::Context { problems: &problems, env: &env, base: std::path::Path::new("/run") };
        let reader = Reader::open(context, &node, "accounts.a", &[KEYS], None).unwrap();
        let secrets = Secrets::read(&reader, &["id", "secret"]).expect("both are good");
        Written::new(secrets, |secrets| {
            let text = |number| secrets.get(number).map(Secret::expose).ok_or("absent");
            if text(1)?.contains(' ') {
                return Err("no key has blanks");
            }
            Ok(format!("{}/{}", text(0)?, text(1)?))
        })
    }

    #[test]
    fn a_rotated_file_is_the_next_key_and_a_lost_or_bad_one_keeps_the_last() {
        let env = ChangingEnv::with_file("/run/s", "one\n");
        let (bench, keeper) = (Arc::<Bench>::default(), Keeper::new(written(&env)));
        let net = Net::new(bench.clone(), bench.clone(), bench.clone(), HOUR);
        let key = |second| {
            bench.set(second);
            let lease = keeper.lease(&net).now_or_never().expect("nobody waits");
            lease.map(|lease| lease.key.to_string())
        };
        assert_eq!(key(0).as_deref(), Ok("inline/one"));
        env.write("/run/s", "two\n");
        assert_eq!(key(29).as_deref(), Ok("inline/one"));
        assert_eq!(key(30).as_deref(), Ok("inline/two"));
        assert!(keeper.refreshed() && !keeper.refreshed());
        env.remove("/run/s");
        assert_eq!(key(60).as_deref(), Ok("inline/two"));
        env.write("/run/s", "not good\n");
        assert_eq!(key(90).as_deref(), Ok("inline/two"));
        env.write("/run/s", "three\n");
        assert_eq!(key(120).as_deref(), Ok("inline/three"));
    }
}
