//! An SQLite file of checksummed pieces, each known by a number, which is whole or of no use.
//!
//! SQLite keeps the file whole when a process or a machine stops at any write; it does not notice a byte that a disk
//! changed. So each piece carries a checksum of its number and its bytes, and the piece with the number 0 the sum of all
//! others' checksums: a piece that is lost, old or in another's place is noticed too. It does not know what is in a piece.
//!
//! A save is one transaction in the write-ahead log, which then goes into the file at once and is cut off: after a save the
//! file is complete without its log, and the log is never longer than one save.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Crc;
use hashbrown::HashMap;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::Broken;

/// The version of what is in the file (`user_version`). A file of a higher one is not read.
pub(super) const VERSION: i64 = 1;

/// What tells a state file from other databases (`application_id`): "PRES".
const APPLICATION: i64 = 0x5052_4553;

const SCHEMA: &str = "CREATE TABLE pieces (key INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT";

/// Where the sum of the others stands.
const SUM_KEY: i64 = 0;

/// Bytes of a piece at most, its checksum included: 128 ids of 4 KiB, or 128 stays of 64 connections, or a memo, with room
/// to spare. A damaged file can ask for no more memory than this.
const PIECE_MAX: i32 = 1024 * 1024;

/// What SQLite keeps of the file in memory, in KiB (a negative number of pages means that).
const CACHE_KIB: i64 = -2048;

/// Who may read the file beside its owner: nobody, since it holds the ids of the targets. The log inherits it.
const MODE: u32 = 0o600;

/// Files that SQLite keeps beside the database, by their endings.
pub(super) const BESIDE: [&str; 2] = ["-wal", "-journal"];

/// Bytes of the log's head, of a frame's head, and of a page, as SQLite's file format has them.
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: u64 = 24;
const PAGE: u64 = 4096;

/// A file that this process alone has open.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    log: PathBuf,
    /// The checksum of each piece in the file.
    checksums: HashMap<i64, u32>,
    sum: Sum,
}

/// How many pieces there are and what their checksums add up to: two files with the same sum hold the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pieces: u32,
    checksums: u64,
}

/// What becomes of a piece.
#[derive(Debug)]
pub(super) enum Change {
    Write(i64, Vec<u8>),
    /// It goes, if it is there.
    Drop(i64),
}

impl Database {
    /// Opens the file, or makes one without pieces. Also says whether the last save before was never completed.
    pub(super) fn open(path: &Path) -> Result<(Self, bool), Broken> {
        match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
            Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Broken::Place(format!("cannot be opened for writing: {why}")));
            }
            _ => {}
        }
        // SQLite takes some relative names for something else than a file.
        let path = fs::canonicalize(path).map_err(|why| Broken::Place(format!("cannot be found: {why}")))?;
        // What is shorter than a page SQLite takes for an empty file.
        if (1..PAGE).contains(&length(&path)) {
            return Err(Broken::Damaged("it is shorter than a database can be".to_owned()));
        }
        let log = beside(&path, "-wal");
        let log_before = length(&log);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, PIECE_MAX)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let mut database = Self { connection, log, checksums: HashMap::new(), sum: Sum::default() };
        if database.is_ours()? {
            database.connection.pragma_update(None, "journal_mode", "WAL")?;
        } else {
            database.make()?;
        }
        if database.connection.is_readonly("main")? {
            return Err(Broken::Place("cannot be opened for writing".to_owned()));
        }
        database.connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        let frames = database.checkpoint("PASSIVE")?;
        let torn = log_before > LOG_HEAD && log_before > LOG_HEAD + frames * (FRAME_HEAD + PAGE);
        database.checkpoint("TRUNCATE")?;
        Ok((database, torn))
    }

    /// Whether there is a table of pieces; without it the file is empty, or something else.
    fn is_ours(&self) -> Result<bool, Broken> {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (number("application_id")?, number("user_version")?);
        let mut schema = self.connection.prepare("SELECT sql FROM sqlite_schema LIMIT 2")?;
        let schema: Vec<Option<String>> =
            schema.query_map([], |row| row.get(0))?.collect::<Result<_, rusqlite::Error>>()?;
        if (application, version, schema.len()) == (0, 0, 0) {
            return Ok(false);
        }
        if application != APPLICATION {
            return Err(Broken::Damaged("it is another program's database".to_owned()));
        }
        if version > VERSION {
            return Err(Broken::Newer(version));
        }
        if version != VERSION || schema != [Some(SCHEMA.to_owned())] {
            return Err(Broken::Damaged("it has not the table of a state file".to_owned()));
        }
        Ok(true)
    }

    fn make(&mut self) -> Result<(), Broken> {
        self.connection.pragma_update(None, "page_size", PAGE.cast_signed())?;
        // Room that is given up goes back to the disk with the transaction that gives it up.
        self.connection.pragma_update(None, "auto_vacuum", "FULL")?;
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        let transaction = self.connection.transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute(SCHEMA, [])?;
        transaction.execute(REPLACE, params![SUM_KEY, Sum::default().piece()])?;
        Ok(transaction.commit()?)
    }

    /// Hands out every piece by its number, upwards; an error unless the file is whole.
    pub(super) fn read(
        &mut self,
        mut piece: impl FnMut(i64, &[u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let said: String = self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(Broken::Damaged(said));
        }
        (self.checksums, self.sum) = (HashMap::new(), Sum::default());
        let mut said = None;
        let mut statement = self.connection.prepare("SELECT key, bytes FROM pieces ORDER BY key")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let sealed = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let Some((bytes, told)) = sealed.split_last_chunk() else {
                return Err(Broken::Damaged(format!("piece {key:x} is too short")));
            };
            let checksum = checksum(key, bytes);
            if checksum != u32::from_le_bytes(*told) {
                return Err(Broken::Damaged(format!("piece {key:x} is not what was written")));
            }
            if key == SUM_KEY {
                said = Some(sealed.to_vec());
                continue;
            }
            self.checksums.insert(key, checksum);
            self.sum.add(checksum);
            piece(key, bytes)?;
        }
        if said != Some(self.sum.piece()) {
            return Err(Broken::Damaged("its pieces are not those of one save".to_owned()));
        }
        Ok(())
    }

    /// What the pieces in the file add up to.
    pub(super) fn sum(&self) -> Sum {
        self.sum
    }

    /// Makes these changes durably and all at once; `anew` when only what they write is to be in the file. Nothing is
    /// written when there is nothing to change.
    pub(super) fn commit(&mut self, anew: bool, changes: impl Iterator<Item = Change>) -> Result<(), Broken> {
        let known = &self.checksums;
        let mut changes = changes
            .filter(|change| !matches!(change, Change::Drop(key) if anew || !known.contains_key(key)))
            .peekable();
        if changes.peek().is_none() && !(anew && self.sum.pieces > 0) {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        let (mut sum, mut new) = (self.sum, Vec::new());
        if anew {
            transaction.execute("DELETE FROM pieces", [])?;
            sum = Sum::default();
        }
        {
            let mut replace = transaction.prepare(REPLACE)?;
            let mut delete = transaction.prepare("DELETE FROM pieces WHERE key = ?1")?;
            for change in changes {
                let (key, checksum) = match change {
                    Change::Write(key, mut bytes) => {
                        let checksum = checksum(key, &bytes);
                        bytes.extend_from_slice(&checksum.to_le_bytes());
                        replace.execute(params![key, bytes])?;
                        (key, Some(checksum))
                    }
                    Change::Drop(key) => {
                        delete.execute([key])?;
                        (key, None)
                    }
                };
                if let Some(before) = known.get(&key).filter(|_| !anew) {
                    sum.take(*before);
                }
                if let Some(checksum) = checksum {
                    sum.add(checksum);
                }
                new.push((key, checksum));
            }
            replace.execute(params![SUM_KEY, sum.piece()])?;
        }
        transaction.commit()?;
        self.sum = sum;
        if anew {
            self.checksums.clear();
        }
        for (key, checksum) in new {
            match checksum {
                Some(checksum) => drop(self.checksums.insert(key, checksum)),
                None => drop(self.checksums.remove(&key)),
            }
        }
        Ok(())
    }

    /// Takes what was committed from the log into the file, durably, and cuts the log off. Returns how many bytes were
    /// written, into both.
    pub(super) fn settle(&mut self) -> Result<u64, Broken> {
        let log = length(&self.log);
        if log == 0 {
            return Ok(0);
        }
        let frames = self.checkpoint("TRUNCATE")?.max(log.saturating_sub(LOG_HEAD) / (FRAME_HEAD + PAGE));
        Ok(log + frames * PAGE)
    }

    /// How many frames of the log are whole.
    fn checkpoint(&self, mode: &str) -> Result<u64, Broken> {
        let (busy, frames): (i64, i64) =
            self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if busy != 0 { Err(Broken::Place(IN_USE.to_owned())) } else { Ok(u64::try_from(frames).unwrap_or(0)) }
    }
}

const REPLACE: &str = "REPLACE INTO pieces (key, bytes) VALUES (?1, ?2)";

const IN_USE: &str = "is in use by another process";

impl Sum {
    /// As it stands in the file.
    fn piece(self) -> Vec<u8> {
        let mut bytes = [&self.pieces.to_le_bytes()[..], &self.checksums.to_le_bytes()].concat();
        bytes.extend_from_slice(&checksum(SUM_KEY, &bytes).to_le_bytes());
        bytes
    }

    fn add(&mut self, checksum: u32) {
        self.pieces = self.pieces.wrapping_add(1);
        self.checksums = self.checksums.wrapping_add(checksum.into());
    }

    fn take(&mut self, checksum: u32) {
        self.pieces = self.pieces.wrapping_sub(1);
        self.checksums = self.checksums.wrapping_sub(checksum.into());
    }
}

/// The name of a file that belongs to the one at `path`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn checksum(key: i64, bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&key.to_le_bytes());
    crc.update(bytes);
    crc.sum()
}

/// What is not known to come from the place comes from what is in the file.
impl From<rusqlite::Error> for Broken {
    fn from(why: rusqlite::Error) -> Self {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
            NoLargeFileSupport, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
        };
        match why.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Self::Place(IN_USE.to_owned()),
            Some(CannotOpen | PermissionDenied | ReadOnly) => {
                Self::Place(format!("cannot be opened for writing: {why}"))
            }
            Some(
                DiskFull | SystemIoFailure | OutOfMemory | FileLockingProtocolFailed | NoLargeFileSupport,
            ) => Self::Place(format!("cannot be read or written: {why}")),
            _ => Self::Damaged(why.to_string()),
        }
    }
}

#[cfg(test)]
impl Database {
    /// From now on there is no room for another page.
    pub(super) fn fill(&self) {
        self.connection.pragma_update(None, "max_page_count", 1).expect("it takes the pages there are");
    }

    pub(super) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("it is open");
    }

    pub(super) fn say(&self, pragma: &str, value: i64) {
        self.connection.pragma_update(None, pragma, value).expect("it is open");
    }
}
