//! One suite for every provider in the registry: the same behaviours, from outside, against the simulator's own truth.
//! A new provider gets all of it by its entry in the registry; where its contract really differs, a table here says so,
//! with the reason.

mod answers;
mod failing;
mod refused;
mod truth;
mod waiting;

use presence_exporter::providers::REGISTRY;

/// What holds for all providers, and those for which something else does, each with its reason.
struct But<T: 'static> {
    all: T,
    but: &'static [(&'static str, T, &'static str)],
}

impl<T: Copy> But<T> {
    /// What holds for this provider.
    fn of(&self, provider: &str) -> T {
        self.but.iter().find(|(name, ..)| *name == provider).map_or(self.all, |(_, own, _)| *own)
    }
}

fn providers() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|kind| kind.name())
}

/// Plays all cases at the same time: they wait for the most part.
pub fn together<C: Sync>(cases: &[C], check: impl Fn(&C) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| check(case));
        }
    });
}
