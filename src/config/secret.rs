//! Secrets: values that no log, page, error or Debug output may hold, and where they came from, so that one that stands
//! in a file can be read again.
//!
//! It decides nothing about when: who holds a [`SecretSource`] asks it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::shape::without_line_end;
use crate::ports::Env;

/// The largest file that a secret is read from, in bytes: a secret is a line, a private key a few dozen.
pub const LIMIT_SECRET_BYTES: u64 = 64 * 1024;

/// A secret text. Its Debug output says only that there is one; there is no Display.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself; for signing and sending, never for printing.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret of the configuration with its place of origin.
#[derive(Clone)]
pub struct SecretSource {
    key: String,
    secret: Secret,
    file: Option<(Arc<dyn Env>, PathBuf)>,
}

/// What reading a secret again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// It is what it was.
    Same,
    /// It is another one now.
    Changed,
    /// The file cannot be read any more or holds nothing; the secret is still what it was. In words for people.
    Lost(&'static str),
}

impl SecretSource {
    /// A secret that never changes: inline text, or a variable of this process. `key` is its path in the configuration.
    pub fn fixed(key: impl Into<String>, secret: Secret) -> Self {
        Self { key: key.into(), secret, file: None }
    }

    /// A secret that was read from this file.
    pub(super) fn of_file(key: String, secret: Secret, env: Arc<dyn Env>, path: PathBuf) -> Self {
        Self { key, secret, file: Some((env, path)) }
    }

    /// Its path in the configuration, for people.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The secret, as last read.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Reads the file again, if it came from one. Nothing that cannot be a secret takes the place of one.
    pub fn reread(&mut self) -> Reread {
        let Some((env, path)) = &self.file else { return Reread::Same };
        let Ok(text) = env.read(path, LIMIT_SECRET_BYTES) else {
            return Reread::Lost("the file cannot be read any more");
        };
        let text = without_line_end(&text);
        if text.trim().is_empty() {
            return Reread::Lost("the file is empty");
        }
        if text == self.secret.expose() {
            return Reread::Same;
        }
        self.secret = Secret::new(text);
        Reread::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::ChangingEnv;

    #[test]
    fn debug_output_never_shows_the_text() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "Secret");
    }

    #[test]
    fn a_file_is_read_again_and_only_a_secret_takes_a_secrets_place() {
        let env = ChangingEnv::with_file("/run/key", "one\n");
        let file = PathBuf::from("/run/key");
        let mut source =
            SecretSource::of_file("accounts.a.key".into(), Secret::new("one"), env.clone(), file);
        assert_eq!(source.reread(), Reread::Same);
        env.write("/run/key", "two\n");
        assert_eq!((source.reread(), source.secret().expose()), (Reread::Changed, "two"));
        for gone in [Some(" \n"), None] {
            match gone {
                Some(text) => env.write("/run/key", text),
                None => env.remove("/run/key"),
            }
            assert!(matches!(source.reread(), Reread::Lost(_)), "{gone:?}");
            assert_eq!(source.secret().expose(), "two");
        }
    }

    #[test]
    fn what_came_from_no_file_stays() {
        let mut source = SecretSource::fixed("accounts.a.key", Secret::new("one"));
        assert_eq!((source.reread(), source.key()), (Reread::Same, "accounts.a.key"));
    }
}
