//! What a target's connections run on, eight bytes a target: a count for each platform.
//!
//! Only sources whose provider tells platforms have this column. It keeps what the newest answer said and judges nothing:
//! whether that still counts is for the row to say.

use crate::domain::{Platform, Seen};

/// Bits of one count; nine of them fit into 64.
const BITS: usize = 7;

/// The largest count: who has more connections on one platform counts as having so many.
const MOST: u64 = (1 << BITS) - 1;

/// Connections of one target by platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ByPlatform(u64);

impl ByPlatform {
    /// What an answer says. Connections that it counts without naming their platform are others.
    pub(super) fn of(seen: &Seen) -> Self {
        let mut counts = Self::default();
        for &platform in &seen.platforms {
            counts.add(platform, 1);
        }
        let named = u32::try_from(seen.platforms.len()).unwrap_or(u32::MAX);
        counts.add(Platform::Other, seen.connections.unwrap_or(0).saturating_sub(named).into());
        counts
    }

    /// Connections on a platform.
    pub(super) fn on(self, platform: Platform) -> u64 {
        self.0 >> shift(platform) & MOST
    }

    fn add(&mut self, platform: Platform, more: u64) {
        let sum = (self.on(platform) + more).min(MOST);
        self.0 = self.0 & !(MOST << shift(platform)) | sum << shift(platform);
    }
}

fn shift(platform: Platform) -> usize {
    platform as usize * BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_a_count_of_its_own_that_ends_at_its_most() {
        for platform in Platform::ALL {
            for n in [1, 126, 127, 300] {
                let seen = Seen { platforms: vec![platform; n], ..Seen::online() };
                let counts = ByPlatform::of(&seen);
                for other in Platform::ALL {
                    let expected = if other == platform { (n as u64).min(127) } else { 0 };
                    assert_eq!(counts.on(other), expected, "{platform:?} {n} {other:?}");
                }
            }
        }
    }

    #[test]
    fn connections_without_a_platform_are_others() {
        let seen =
            Seen { connections: Some(3), platforms: vec![Platform::Ios, Platform::Other], ..Seen::online() };
        let counts = ByPlatform::of(&seen);
        assert_eq!((counts.on(Platform::Ios), counts.on(Platform::Other)), (1, 2));
    }
}
