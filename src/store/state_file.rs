//! Rows that outlive the process: last seen, last change, transitions, reconnects, first-seen times and log watermarks, in
//! one file.
//!
//! The file is a log of checksummed records. A save appends the rows that changed since the one before and waits
//! until they are on the disk; past a multiple of what it began with, the file is written anew and put in the old one's
//! place. So a process that is killed at any write finds the last save whole, and the size is bounded by the targets
//! configured: rows of others are dropped when the file is opened.
//!
//! While a file is in use, pages show what the last save wrote ([`Store::snapshot`]), which is why no series goes back
//! when the process is killed: what was not saved was not shown either. When a save fails, pages go on with what is known,
//! since the present matters more than what a later process will say of it.
//!
//! What it deliberately does not do: it keeps no token and no id of a connection (keyed hashes of those do stand in it), it never ends the process for what is in
//! a file, and it has no thread and no clock; who saves, and when, is the daemon's affair.

mod log;
mod records;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Snapshot, Store};
use crate::domain::Moment;

use log::{End, Log};
pub(super) use records::Found;
use records::Reading;

/// A file is written anew when what was appended is this many times as long as what it began with. More writes less often
/// and makes a longer file.
const GROWTH: u64 = 3;

/// A file that began with less than this is not written anew before it has grown by this much, in bytes.
const GROWTH_MIN: u64 = 1024 * 1024;

/// A file in use; nobody else can open it meanwhile.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// None after a failed save: it is opened anew.
    log: Option<Log>,
    /// The length past which the file is written anew.
    limit: u64,
    /// What is in the file; none when that is not known.
    last: Option<Arc<Snapshot>>,
}

/// What opening a file came to.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: StateFile,
    /// How many targets go on from an earlier process.
    pub restored: usize,
    /// Whether the last save of an earlier process was never completed; it was cut off, and no page had shown it.
    pub torn: bool,
    /// Why the file that was there was not used, and what it is called now.
    pub set_aside: Option<(String, PathBuf)>,
}

/// Why a file cannot be used as it is.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// It is the place that is wrong, not what is in the file; nothing is touched.
    Place(String),
    /// What is in the file is of no use.
    Damaged(String),
    /// A later version of this program wrote it.
    Newer(u32),
}

impl StateFile {
    /// Opens the file and puts what it knows into the rows of `store`, whose sources are installed and not asked yet. From
    /// now on pages show what was saved. A file that is damaged or of a newer version is set aside under another name; the
    /// error says why there can be no file at this place.
    pub fn open(path: &Path, store: &Store, now: Moment) -> Result<Opened, String> {
        let named = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
        let mut set_aside = None;
        let configured = store.live();
        let (log, found) = match read(path, &configured, now) {
            Ok(read) => read,
            Err(Broken::Place(why)) => return Err(named(&why)),
            Err(broken) => {
                set_aside = Some(aside(path, &broken, now)?);
                read(path, &configured, now).map_err(|again| named(&again))?
            }
        };
        drop(configured);
        let restored = found.sources.iter().flat_map(|source| &source.rows).flatten().count();
        store.restore(now, found.sources);
        let live = store.live();
        let limit = log.length().saturating_mul(1 + GROWTH).max(GROWTH_MIN);
        let last = found.in_place.then(|| Arc::clone(&live));
        let mut file = Self { path: path.into(), log: Some(log), limit, last };
        file.write(&live).map_err(|why| named(&format!("cannot be written: {why}")))?;
        store.publish(live);
        Ok(Opened { file, restored, torn: found.torn, set_aside })
    }

    /// Writes what changed since the last save, durably, and lets pages show it. Returns how many bytes were written. The
    /// error says why nothing could be; pages show it all the same, and the next save writes everything.
    pub fn save(&mut self, store: &Store) -> Result<u64, String> {
        let live = store.live();
        let written = self.write(&live);
        if written.is_err() {
            self.log = None;
            self.last = None;
        }
        store.publish(live);
        written.map_err(|why| format!("{}: {why}", self.path.display()))
    }

    fn write(&mut self, live: &Arc<Snapshot>) -> Result<u64, Broken> {
        let log = match &mut self.log {
            Some(log) => log,
            none => none.insert(Log::open(&self.path)?),
        };
        let last = self.last.as_deref().filter(|last| records::same_layout(last, live));
        let written = match last {
            Some(last) if log.length() <= self.limit => log.append(records::changes(last, live)),
            _ => log.replace(records::all(live)).inspect(|length| {
                self.limit = length.saturating_mul(1 + GROWTH).max(GROWTH_MIN);
            }),
        };
        let written = written.map_err(|why| Broken::Place(format!("cannot be written: {why}")))?;
        self.last = Some(Arc::clone(live));
        Ok(written)
    }
}

/// What a file says.
struct Told {
    /// By the sources' places.
    sources: Vec<Found>,
    /// Whether the file has just these targets in just these places, so that it can go on.
    in_place: bool,
    torn: bool,
}

fn read(path: &Path, configured: &Snapshot, now: Moment) -> Result<(Log, Told), Broken> {
    let mut log = Log::open(path)?;
    let mut reading = Reading::new(configured, u32::try_from(now.unix_seconds()).unwrap_or(0));
    let end = log.replay(|record| reading.record(record))?;
    let (sources, in_place) = reading.end();
    Ok((log, Told { sources, in_place: in_place && end != End::New, torn: end == End::Torn }))
}

/// Gives the file another name, under which somebody may look at it.
fn aside(path: &Path, broken: &Broken, now: Moment) -> Result<(String, PathBuf), String> {
    let what = if matches!(broken, Broken::Newer(_)) { "newer" } else { "damaged" };
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{what}-{}", now.unix_seconds()));
    let to = PathBuf::from(name);
    fs::rename(path, &to)
        .map_err(|why| format!("{}: {broken}, and cannot be set aside: {why}", path.display()))?;
    Ok((broken.to_string(), to))
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(why) => f.write_str(why),
            Self::Damaged(why) => write!(f, "is damaged: {why}"),
            Self::Newer(version) => {
                write!(f, "is of version {version}, and this program knows {}", log::VERSION)
            }
        }
    }
}

#[cfg(test)]
mod tests;
