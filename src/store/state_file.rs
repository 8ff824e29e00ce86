//! Rows that outlive the process: last seen, last change, transitions, reconnects, first-seen times, log watermarks, and
//! memos of other parts, in one SQLite file.
//!
//! A save is a transaction of the pieces that changed since the one before: 128 rows fill a page of the file. A process
//! that is killed at any write finds the last save whole, and the size is bounded by the targets configured: rows of
//! others are dropped.
//!
//! While a file is in use, pages show what the last save wrote ([`Store::snapshot`]), which is why no series goes back
//! when the process is killed: what was not saved was not shown either. When a save fails, pages go on with what is known,
//! since the present matters more than what a later process will say of it.
//!
//! What it deliberately does not do: it keeps no token and no id of a connection (keyed hashes of those do stand in it),
//! it never ends the process for what is in a file, and it has no thread and no clock; who saves, and when, is the
//! daemon's affair.

mod database;
mod pieces;
mod reading;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Snapshot, Store};
use crate::domain::Moment;

use database::{BESIDE, Database, Sum, beside};
pub(super) use reading::{Found, FoundSource};
use reading::{Naming, Reading};

/// A file in use; nobody else can open it meanwhile.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// None after a failed save: it is opened anew.
    database: Option<Database>,
    /// What is in the file, and what its pieces add up to; none when that is not known.
    last: Option<(Arc<Snapshot>, Sum)>,
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
    Newer(i64),
}

/// A file that was just opened, and whose rows are not put back yet.
#[derive(Debug)]
pub struct Earlier {
    path: PathBuf,
    database: Database,
    torn: bool,
    set_aside: Option<(String, PathBuf)>,
}

impl Earlier {
    /// Opens the file. One that is damaged or of a newer version is set aside under another name; the error says why there
    /// can be no file at this place.
    pub fn open(path: &Path, now: Moment) -> Result<Self, String> {
        match Database::open(path) {
            Ok((database, torn)) => Ok(Self { path: path.into(), database, torn, set_aside: None }),
            Err(broken) => Self::anew(path, &broken, now),
        }
    }

    /// The ids that the file has of each of these sources, by provider and name.
    pub fn ids(self, sources: &[(&str, String)], now: Moment) -> Result<(Self, Vec<Vec<String>>), String> {
        self.read(now, |database| {
            let mut naming = Naming::new(sources);
            database.read(|key, piece| naming.piece(key, piece))?;
            Ok(naming.end())
        })
    }

    /// Puts what the file knows into the rows of `store`, whose sources are installed and not asked yet. From now on pages
    /// show what was saved.
    pub fn restore(self, store: &Store, now: Moment) -> Result<Opened, String> {
        let configured = store.live();
        let (Self { path, database, torn, set_aside }, found) = self.read(now, |database| {
            let mut reading = Reading::new(&configured, u32::try_from(now.unix_seconds()).unwrap_or(0));
            database.read(|key, piece| reading.piece(key, piece))?;
            reading.end()
        })?;
        drop(configured);
        let restored = found.sources.iter().flat_map(|source| &source.rows).flatten().count();
        let in_place = found.in_place;
        store.restore(now, found);
        let live = store.live();
        let last = in_place.then(|| (Arc::clone(&live), database.sum()));
        let mut file = StateFile { path, database: Some(database), last };
        file.write(&live).map_err(|why| named(&file.path, &why))?;
        store.publish(live);
        Ok(Opened { file, restored, torn, set_aside })
    }

    /// Reads all of the file. If that shows it to be of no use, it is set aside, and nothing is known.
    fn read<T>(
        mut self,
        now: Moment,
        read: impl Fn(&mut Database) -> Result<T, Broken>,
    ) -> Result<(Self, T), String> {
        let broken = match read(&mut self.database) {
            Ok(said) => return Ok((self, said)),
            Err(broken) => broken,
        };
        let path = self.path.clone();
        // Closed before it gets another name.
        drop(self);
        let mut anew = Self::anew(&path, &broken, now)?;
        let said = read(&mut anew.database).map_err(|again| named(&path, &again))?;
        Ok((anew, said))
    }

    /// Begins a new file in the place of one that is broken.
    fn anew(path: &Path, broken: &Broken, now: Moment) -> Result<Self, String> {
        if let Broken::Place(why) = broken {
            return Err(named(path, why));
        }
        let set_aside = Some((broken.to_string(), aside(path, broken, now)?));
        let (database, torn) = Database::open(path).map_err(|again| named(path, &again))?;
        Ok(Self { path: path.into(), database, torn, set_aside })
    }
}

fn named(path: &Path, why: &dyn fmt::Display) -> String {
    format!("{}: {why}", path.display())
}

impl StateFile {
    /// Opens the file and puts what it knows into the rows of `store`, as [`Earlier`] does.
    pub fn open(path: &Path, store: &Store, now: Moment) -> Result<Opened, String> {
        Earlier::open(path, now)?.restore(store, now)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what changed since the last save, durably, and lets pages show it. Returns how many bytes were written. The
    /// error says why nothing could be; pages show it all the same, and the next save makes up for it. A file that turns
    /// out to be damaged is set aside; the next save begins another.
    pub fn save(&mut self, store: &Store, now: Moment) -> Result<u64, String> {
        let live = store.live();
        let written = self.write(&live);
        store.publish(live);
        written.map_err(|broken| {
            self.database = None;
            let named = format!("{}: {broken}", self.path.display());
            match broken {
                Broken::Place(_) => named,
                _ => match aside(&self.path, &broken, now) {
                    Ok(to) => format!("{named}; it was set aside as {}", to.display()),
                    Err(why) => why,
                },
            }
        })
    }

    fn write(&mut self, live: &Arc<Snapshot>) -> Result<u64, Broken> {
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let (mut database, _) = Database::open(&self.path)?;
                database.read(|_, _| Ok(()))?;
                none.insert(database)
            }
        };
        let last = self.last.as_ref().filter(|(_, sum)| *sum == database.sum());
        let last = last.map(|(snapshot, _)| &**snapshot);
        database.commit(last.is_none(), pieces::changes(last, live))?;
        self.last = Some((Arc::clone(live), database.sum()));
        // Only then is a page shown it: whatever becomes of the log, the file has it.
        database.settle()
    }
}

/// Gives the file another name, under which somebody may look at it, and what stands beside it too.
fn aside(path: &Path, broken: &Broken, now: Moment) -> Result<PathBuf, String> {
    let what = if matches!(broken, Broken::Newer(_)) { "newer" } else { "damaged" };
    let to = beside(path, &format!(".{what}-{}", now.unix_seconds()));
    for ending in BESIDE {
        match fs::rename(beside(path, ending), beside(&to, ending)) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}{ending}: cannot be set aside: {why}", path.display()));
            }
            _ => {}
        }
    }
    fs::rename(path, &to)
        .map_err(|why| format!("{}: {broken}, and cannot be set aside: {why}", path.display()))?;
    Ok(to)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(why) => f.write_str(why),
            Self::Damaged(why) => write!(f, "is damaged: {why}"),
            Self::Newer(version) => {
                write!(f, "is of version {version}, and this program knows {}", database::VERSION)
            }
        }
    }
}

#[cfg(test)]
mod tests;
