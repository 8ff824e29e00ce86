//! For the simulator's gateway: the nonces that were used.

use std::collections::{HashSet, VecDeque};

use crate::providers::hash;

/// Nonces that are remembered at most: 145 calls a second for the 30 minutes in which a date can be repeated. Beyond it
/// the oldest is forgotten, as a server under load would.
const NONCES: usize = 1 << 18;

/// The nonces of accepted requests, each until its date can't be repeated any more. Only accepted ones: nobody without
/// the secret can use up another's.
#[derive(Default)]
pub struct Nonces {
    known: HashSet<u128>,
    until: VecDeque<(i64, u128)>,
}

impl Nonces {
    /// What is kept of a key's nonce.
    pub fn key(key_id: &str, nonce: &str) -> u128 {
        let digest = hash::sha256_hex(format!("{key_id}\n{nonce}").as_bytes());
        u128::from_str_radix(&digest[..32], 16).expect("a hash is written in hexadecimal digits")
    }

    /// Whether a nonce was used.
    pub fn has(&self, nonce: u128) -> bool {
        self.known.contains(&nonce)
    }

    /// Remembers a nonce until this Unix time in milliseconds.
    pub fn remember(&mut self, nonce: u128, until_ms: i64) {
        while self.until.len() >= NONCES {
            self.forget_oldest();
        }
        self.known.insert(nonce);
        self.until.push_back((until_ms, nonce));
    }

    /// Forgets what no date can bring back.
    pub fn forget_expired(&mut self, now_ms: i64) {
        while self.until.front().is_some_and(|(until_ms, _)| *until_ms < now_ms) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, nonce)) = self.until.pop_front() {
            self.known.remove(&nonce);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_forgotten_by_time_and_by_number() {
        let mut nonces = Nonces::default();
        nonces.remember(1, 100);
        nonces.forget_expired(100);
        assert!(nonces.has(1));
        nonces.forget_expired(101);
        assert!(!nonces.has(1));
        for nonce in 0..=NONCES as u128 {
            nonces.remember(nonce, 1000);
        }
        assert!(!nonces.has(0) && nonces.has(1) && nonces.known.len() == NONCES);
    }
}
