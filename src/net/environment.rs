//! Chance from the operating system, and the process's variables and files.
//!
//! It does not write anything, and keeps nothing: a file is read again each time, so that a rotated secret is seen.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::ports::{Entropy, Env, Stamp};

/// The operating system's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn bits(&self) -> u64 {
        getrandom::u64()
            .expect("the operating system supplies random numbers, as its TLS could not work without either")
    }
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    #[expect(clippy::disallowed_methods, reason = "this is the environment port itself")]
    fn var(&self, name: &str) -> Option<String> {
        // The standard library panics on some systems at names that cannot exist.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var(name).ok()
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let metadata = std::fs::metadata(path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Ok(Some(Stamp {
            modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX),
            nanos: modified.subsec_nanos() % 1_000_000,
            length: metadata.len(),
            number,
        }))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<String> {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file of exactly the limit from a longer one, also where the file is a pipe
        // that has no length.
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it is larger than {limit} bytes"),
            ));
        }
        // The error of the conversion would carry the bytes along, and they may be a secret.
        String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text (UTF-8)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_refused_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(ProcessEnv.read(&path, 5).unwrap(), "12345");
        let error = ProcessEnv.read(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is larger than 4 bytes");
        assert_eq!(
            ProcessEnv.read(&folder.path().join("none"), 4).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(ProcessEnv.read(folder.path(), 4).is_err(), "a folder is no file");
    }

    #[test]
    fn an_error_about_a_file_that_is_no_text_does_not_quote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, b"canary\xff").unwrap();
        let error = ProcessEnv.read(&path, 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!format!("{error:?} {error}").contains("canary"));
    }

    #[test]
    fn a_variable_is_read_and_an_impossible_name_is_simply_not_set() {
        // Cargo sets this one for every test it runs.
        assert_eq!(ProcessEnv.var("CARGO_PKG_NAME").as_deref(), Some("presence-exporter"));
        assert_eq!(ProcessEnv.var("PRESENCE_EXPORTER_SURELY_NOT_SET"), None);
        assert_eq!(ProcessEnv.var(""), None);
        assert_eq!(ProcessEnv.var("A=B"), None);
        assert_eq!(ProcessEnv.var("A\0"), None);
    }

    #[test]
    fn chance_does_not_repeat() {
        assert_ne!(OsEntropy.bits(), OsEntropy.bits());
    }
}
