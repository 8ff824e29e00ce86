//! A made-up world from a seed: for each provider in the registry some populations whose subjects come and go. The same
//! seed, origin and sizes give the same world, on every machine.
//!
//! What an id looks like follows the provider's documents; a provider that is not listed here gets plain ids.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::timeline::{Habits, Maker, Span, WHOLE};
use crate::domain::Platform::{self, Android, Harmony, Ios, Linux, Macos, Other, Tablet, Web, Windows};
use crate::providers::ProviderKind;
use crate::providers::sim::{Population, Subject, World};

/// What a world is made from.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How long after the origin things still happen, a month at most; then all but those always online are gone.
    pub horizon: Duration,
    /// Subjects in each population of a provider, by provider name; else [`Scenario::default_targets`].
    pub targets: BTreeMap<String, usize>,
    /// Subjects in each population.
    pub default_targets: usize,
    /// Populations of each provider: several instances or apps in one account. A provider whose accounts stand for one
    /// server or project has one, whatever is said here.
    pub populations: usize,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 1,
            horizon: Duration::from_secs(86_400),
            targets: BTreeMap::new(),
            default_targets: 25,
            populations: 1,
        }
    }
}

/// How long before the origin timelines begin: what a login record of the last day can show.
const BEFORE: Duration = Duration::from_secs(86_400);
/// The longest horizon: a month, what a soak run in virtual time may cover.
const MAX_HORIZON: Duration = Duration::from_secs(31 * 86_400);

impl Scenario {
    /// The world of these providers around this origin, in Unix milliseconds.
    pub fn world(&self, kinds: &[&'static dyn ProviderKind], origin_ms: i64) -> World {
        let ms = |d: Duration| i64::try_from(d.as_millis()).expect("at most a month");
        let span = Span {
            begin: origin_ms - ms(BEFORE),
            origin: origin_ms,
            end: origin_ms + ms(self.horizon.min(MAX_HORIZON)),
        };
        // High bits keep the ids of sessions apart from anything countable, low bits count.
        let mut next_id = (self.seed << 40 | 1 << 32) & (u64::MAX >> 1);
        let mut populations = Vec::new();
        for kind in kinds {
            for number in (0_u32..).take(Style::of(kind.name()).populations(self.populations)) {
                let mut rng = Rng::with_seed(self.seed ^ name_bits(kind.name()).rotate_left(number));
                populations.push(self.population(kind.name(), number, span, &mut rng, &mut next_id));
            }
        }
        World { populations }
    }

    fn population(
        &self,
        provider: &'static str,
        number: u32,
        span: Span,
        rng: &mut Rng,
        next_id: &mut u64,
    ) -> Population {
        let style = Style::of(provider);
        let scope = (style.scope)(number, rng);
        let offset = rng.i64(0..WHOLE);
        let subjects = self.targets.get(provider).copied().unwrap_or(self.default_targets);
        let mut maker = Maker { rng, span, habits: style.habits, next_id, offset };
        let subjects = (0_u32..)
            .take(subjects)
            .map(|index| Subject {
                id: (style.id)(number, index),
                user: (style.user)(index),
                sessions: maker.sessions(index as usize),
            })
            .collect();
        Population::new(provider, scope, subjects)
    }
}

/// A number for a name, the same everywhere (FNV-1a).
fn name_bits(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What the ids of a provider look like and what its clients do. Ids depend on numbers only, so that the same population
/// of another size begins with the same subjects.
struct Style {
    /// Whether an account stands for one server or project, so that there cannot be several populations.
    one_scope: bool,
    scope: fn(u32, &mut Rng) -> String,
    id: fn(u32, u32) -> String,
    user: fn(u32) -> String,
    habits: Habits,
}

const DESKTOP_CLIENTS: &[Platform] = &[Windows, Windows, Windows, Macos, Linux, Android, Ios];

impl Style {
    fn populations(&self, wanted: usize) -> usize {
        if self.one_scope { wanted.min(1) } else { wanted }
    }

    fn of(provider: &str) -> Self {
        let nobody: fn(u32) -> String = |_| String::new();
        let habits = |platforms, several| Habits { platforms, several, failures: &[] };
        match provider {
            "alibaba_smartag" => Self {
                one_scope: false,
                scope: |_, rng| format!("sag-{}", letters(rng, "abcdefghijklmnopqrstuvwxyz0123456789", 18)),
                id: |_, index| format!("{}@corp", person(index)),
                user: nobody,
                habits: habits(&[Android, Ios, Windows, Macos], true),
            },
            "alibaba_mqtt" => Self {
                one_scope: false,
                scope: |_, rng| {
                    format!("post-cn-{}", letters(rng, "abcdefghijklmnopqrstuvwxyz0123456789", 11))
                },
                id: device,
                user: nobody,
                habits: habits(&[Other], false),
            },
            "volcengine_rtc" => Self {
                one_scope: false,
                scope: |number, rng| (100_000 + 1_000 * number + rng.u32(..1_000)).to_string(),
                id: decimal,
                user: nobody,
                habits: habits(&[Android, Android, Ios, Web], true),
            },
            "openim" => Self {
                one_scope: true,
                scope: |number, _| format!("im-{}", number + 1),
                id: chat_user,
                user: nobody,
                habits: habits(&[Ios, Android, Windows, Macos, Web, Linux, Tablet, Harmony], true),
            },
            "huawei_workspace" => Self {
                one_scope: true,
                scope: |_, rng| letters(rng, "0123456789abcdef", 32),
                id: |number, index| {
                    format!("{}{:05}", ["CN-DEV-", "CN-OPS-", "CN-LAB-"][number as usize % 3], index + 1)
                },
                // Five desktops are shared out among four people: one of them has two.
                user: |index| format!("{}@local.com", person(index * 4 / 5)),
                habits: Habits {
                    platforms: DESKTOP_CLIENTS,
                    several: false,
                    failures: &["VM_CONNECT_TIMEOUT", "USER_AUTHENTICATION_FAILED", "AGENT_NOT_READY"],
                },
            },
            _ => Self {
                one_scope: false,
                scope: |number, _| format!("scope-{}", number + 1),
                id: |number, index| format!("subject-{}-{:04}", number + 1, index + 1),
                user: nobody,
                habits: Habits { platforms: &[Android, Web], several: true, failures: &["failed"] },
            },
        }
    }
}

fn letters(rng: &mut Rng, alphabet: &str, count: usize) -> String {
    let alphabet = alphabet.as_bytes();
    (0..count).map(|_| char::from(alphabet[rng.usize(..alphabet.len())])).collect()
}

const FIRST: [&str; 32] = [
    "alice", "bob", "chen", "dora", "emil", "fatima", "george", "hana", "igor", "jun", "karin", "liam",
    "mei", "nadia", "oscar", "paula", "qing", "rosa", "sven", "tomas", "uma", "viktor", "wei", "xenia",
    "yusuf", "zoe", "anton", "bianca", "carlos", "diana", "erik", "farid",
];
const LAST: [&str; 31] = [
    "wang", "miller", "li", "novak", "silva", "zhang", "kowalski", "haddad", "tanaka", "berg", "liu",
    "moreau", "chen", "rossi", "yang", "ivanov", "huang", "fischer", "zhao", "garcia", "wu", "jensen",
    "zhou", "okafor", "xu", "nguyen", "sun", "dubois", "ma", "horvat", "zhu",
];

/// A person's name, another for each number: `first.last`, with a number from the 993rd on.
fn person(index: u32) -> String {
    // 32 and 31 have no common factor, so both lists turn with each number and no pair comes twice in 992.
    let (first, last) = (FIRST[index as usize % FIRST.len()], LAST[index as usize % LAST.len()]);
    match index as usize / (FIRST.len() * LAST.len()) {
        0 => format!("{first}.{last}"),
        again => format!("{first}.{last}{}", again + 1),
    }
}

/// An MQTT client id: group, three at-signs, device. Devices carry what a signature has to encode.
fn device(number: u32, index: u32) -> String {
    let group = ["GID_fleet", "GID_sensors", "GID-kiosk"][(number + index / 40) as usize % 3];
    let device = index + 1;
    match index % 11 {
        7 => format!("{group}@@@gate/{device:04}+a"),
        9 => format!("{group}@@@pump%20{device:04}"),
        _ => format!("{group}@@@dev-{device:04}"),
    }
}

/// A decimal id in the range of i64: short ones, and long ones that a floating-point number would spoil.
fn decimal(number: u32, index: u32) -> String {
    let plain = 10_001 + 1_000_000 * i64::from(number) + i64::from(index);
    match index % 9 {
        2 => (i64::MAX - plain + 10_001).to_string(),
        5 => (7_290_000_000_000_000_000 + plain * 1_000_003).to_string(),
        _ => plain.to_string(),
    }
}

/// A chat user's id: whatever the operator's own system calls people, in any script.
fn chat_user(number: u32, index: u32) -> String {
    let user = index + 1;
    match index % 10 {
        3 => format!("{}", 2_890_713_225 + 1_000_000 * u64::from(number) + u64::from(index)),
        5 => format!("用户-{user:04}"),
        6 => format!("zoë+{user}@example.com"),
        8 => format!("00{user:04}"),
        _ => format!("u_{}", 1_000 * (number + 1) + user),
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
