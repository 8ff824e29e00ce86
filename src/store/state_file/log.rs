//! A file of checksummed records that only grows at its end, and is replaced as a whole.
//!
//! A record is its length, the length's checksum, the payload's checksum, the payload. A process that is killed while it
//! appends leaves the beginning of a record at the end, which the next one cuts off; anything else that does not fit its
//! checksum is damage. It is replaced by writing another file beside it and renaming that, so one of the two is whole at
//! every instant. It does not know what is in a record.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;

use super::Broken;

/// The version of what is in the file. A file of a higher one is not read.
pub(super) const VERSION: u32 = 1;

/// What a file begins with, before its version and the checksum of both.
const MAGIC: &[u8; 8] = b"PRESENCE";

const HEAD_BYTES: usize = 16;

const RECORD_HEAD_BYTES: usize = 12;

/// The longest payload. Who writes more writes several records; what a reader needs at most for one is bounded by it.
pub(super) const PAYLOAD_MAX: usize = 2 * 1024 * 1024;

/// Who may read the file beside its owner: nobody, since it holds the ids of the targets.
const MODE: u32 = 0o600;

/// How often a file that was replaced between opening and locking it is opened again.
const TRIES: usize = 5;

/// A file that this process alone has open.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
}

/// How a file's records ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The file is empty: it was just made.
    New,
    /// With a whole record.
    Whole,
    /// With the beginning of a record that was never completed.
    Torn,
}

impl Log {
    /// Opens the file, or makes an empty one.
    pub(super) fn open(path: &Path) -> Result<Self, Broken> {
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false).mode(MODE);
            let file = options.open(path).map_err(|why| place("cannot be opened for writing", &why))?;
            lock(&file)?;
            let (ours, there) = (file.metadata(), fs::metadata(path));
            if let (Ok(ours), Ok(there)) = (ours, there)
                && ours.ino() == there.ino()
                && ours.dev() == there.dev()
            {
                return Ok(Self { path: path.into(), file, length: ours.len() });
            }
        }
        Err(Broken::Place("is replaced again and again by another process".to_owned()))
    }

    /// How long the file is.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Hands out every record from the first on, and cuts off what was never completed.
    pub(super) fn replay(
        &mut self,
        mut record: impl FnMut(&[u8]) -> Result<(), Broken>,
    ) -> Result<End, Broken> {
        if self.length == 0 {
            return Ok(End::New);
        }
        let mut reader = BufReader::with_capacity(256 * 1024, &self.file);
        check_head(&mut reader)?;
        let mut at = HEAD_BYTES as u64;
        let mut payload = Vec::new();
        let end = loop {
            let left = self.length - at;
            if left == 0 {
                break End::Whole;
            }
            let mut head = [0; RECORD_HEAD_BYTES];
            if left < head.len() as u64 {
                break End::Torn;
            }
            reader.read_exact(&mut head).map_err(|why| unreadable(&why))?;
            let [length, length_sum, sum] = numbers(&head);
            if checksum(&head[..4]) != length_sum {
                // After a power failure the end may be zeros that were never overwritten.
                if head == [0; RECORD_HEAD_BYTES] && only_zeros(&mut reader)? {
                    break End::Torn;
                }
                return Err(Broken::Damaged(format!("a record's head at byte {at} is not what was written")));
            }
            let whole = RECORD_HEAD_BYTES as u64 + u64::from(length);
            if left < whole {
                break End::Torn;
            }
            payload.resize(length as usize, 0);
            if payload.len() > PAYLOAD_MAX {
                return Err(Broken::Damaged(format!("the record at byte {at} is too long")));
            }
            reader.read_exact(&mut payload).map_err(|why| unreadable(&why))?;
            if checksum(&payload) != sum {
                if left == whole {
                    break End::Torn;
                }
                return Err(Broken::Damaged(format!("the record at byte {at} is not what was written")));
            }
            record(&payload)?;
            at += whole;
        };
        self.file.set_len(at).map_err(|why| place("cannot be written", &why))?;
        self.length = at;
        Ok(end)
    }

    /// Appends these records durably, and returns how many bytes they take.
    pub(super) fn append(&mut self, records: impl Iterator<Item = Vec<u8>>) -> io::Result<u64> {
        let began = self.length;
        let mut at = began;
        for payload in records {
            let record = [&record_head(&payload)[..], &payload].concat();
            self.file.write_all_at(&record, at)?;
            at += record.len() as u64;
        }
        if at > began {
            self.file.sync_data()?;
        }
        self.length = at;
        Ok(at - began)
    }

    /// Replaces the file by one of these records, and returns how many bytes it has.
    pub(super) fn replace(&mut self, records: impl Iterator<Item = Vec<u8>>) -> io::Result<u64> {
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // Whoever has the file has this one too: what is there is left from a process that was killed.
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(MODE).open(&beside)?;
        file.try_lock().map_err(io::Error::from)?;
        let mut new = Self { path: self.path.clone(), file, length: HEAD_BYTES as u64 };
        new.file.write_all_at(&head(), 0)?;
        new.append(records)?;
        new.file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        // The old file is closed here, and its lock with it, after the new one stands in its place.
        *self = new;
        Ok(self.length)
    }
}

fn lock(file: &File) -> Result<(), Broken> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Broken::Place("is in use by another process".to_owned())),
        Err(TryLockError::Error(why)) => Err(place("cannot be locked", &why)),
    }
}

fn head() -> Vec<u8> {
    let mut head = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    head.extend_from_slice(&checksum(&head).to_le_bytes());
    head
}

fn check_head(reader: &mut impl Read) -> Result<(), Broken> {
    let mut head = [0; HEAD_BYTES];
    reader.read_exact(&mut head).map_err(|why| unreadable(&why))?;
    let [_, _, version, sum] = numbers(&head);
    if !head.starts_with(MAGIC) || checksum(&head[..12]) != sum {
        return Err(Broken::Damaged("it does not begin as a state file does".to_owned()));
    }
    if version > VERSION { Err(Broken::Newer(version)) } else { Ok(()) }
}

fn record_head(payload: &[u8]) -> [u8; RECORD_HEAD_BYTES] {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut head = [0; RECORD_HEAD_BYTES];
    let numbers = [length, checksum(&length).to_le_bytes(), checksum(payload).to_le_bytes()];
    for (place, number) in head.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number);
    }
    head
}

fn numbers<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (parts, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|n| parts.get(n).map_or(0, |part| u32::from_le_bytes(*part)))
}

fn only_zeros(reader: &mut impl Read) -> Result<bool, Broken> {
    let mut piece = [0; 4096];
    loop {
        match reader.read(&mut piece).map_err(|why| unreadable(&why))? {
            0 => return Ok(true),
            read if piece[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn place(what: &str, why: &io::Error) -> Broken {
    Broken::Place(format!("{what}: {why}"))
}

fn unreadable(why: &io::Error) -> Broken {
    if why.kind() == io::ErrorKind::UnexpectedEof {
        Broken::Damaged("it is cut short".to_owned())
    } else {
        place("cannot be read", why)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same file, said to be of another version.
    pub(in super::super) fn of_version(bytes: &[u8], version: u32) -> Vec<u8> {
        let mut head = [&MAGIC[..], &version.to_le_bytes()].concat();
        head.extend_from_slice(&checksum(&head).to_le_bytes());
        [&head, &bytes[HEAD_BYTES..]].concat()
    }
}
