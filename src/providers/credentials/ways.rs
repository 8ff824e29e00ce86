//! Which keys of an account go together: each way to credentials needs some, takes some, and the others' mean nothing
//! with it. A key that would be ignored is a mistake that somebody will look for, so it is told.

use crate::config::Reader;

/// One way to credentials, a value of the account's key `credentials`.
#[derive(Debug)]
pub struct Way {
    /// The value.
    pub word: &'static str,
    /// Keys that must be given.
    pub needs: &'static [&'static str],
    /// Keys that may be given.
    pub takes: &'static [&'static str],
}

impl Way {
    fn knows(&self, key: &str) -> bool {
        self.needs.contains(&key) || self.takes.contains(&key)
    }
}

/// Whether the given keys are those of the way `word`; complains about each that is missing or belongs to other ways only.
pub fn fits(reader: &Reader<'_>, ways: &[Way], word: &str) -> bool {
    let Some(way) = ways.iter().find(|way| way.word == word) else { return false };
    let mut good = true;
    for key in way.needs.iter().filter(|key| !reader.has(key)) {
        reader.complain(key, format!("`{key}` is missing"), Some(format!("credentials: {word} needs it")));
        good = false;
    }
    let mut told: Vec<&str> = Vec::new();
    for key in ways.iter().flat_map(|way| way.needs.iter().chain(way.takes)) {
        if reader.has(key) && !way.knows(key) && !told.contains(key) {
            told.push(key);
            let others: Vec<&str> = ways.iter().filter(|way| way.knows(key)).map(|way| way.word).collect();
            let hint = format!("it belongs to credentials: {}", others.join(", "));
            reader.complain(key, format!("`{key}` means nothing with credentials: {word}"), Some(hint));
            good = false;
        }
    }
    good
}
