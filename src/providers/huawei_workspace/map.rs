//! From desktops and sessions to what is seen of each target. Pure.
//!
//! CONNECTED is online, any other documented status is offline. It does not conclude anything from a status that it does
//! not know, nor (for a user) from a shared desktop that no record explains; and it gives a start time or a round-trip
//! time only when it knows those of *every* current connection, since the longest-running or the newest may be the one
//! that is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::sessions::{Cuts, Login, Table};
use super::wire;
use crate::domain::{Fault, Roster, RowId, Seen};
use crate::providers::Found;

/// What a source's targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Desktops, by name.
    DesktopName,
    /// Desktops, by id.
    DesktopId,
    /// Users, by name.
    User,
}

impl Subject {
    const ALL: [Self; 3] = [Self::DesktopName, Self::DesktopId, Self::User];

    /// The number by which a source of this kind is told from others that share its questions.
    pub fn lens(self) -> u8 {
        self as u8
    }

    /// What the targets of a source with this lens are.
    pub fn of(lens: u8) -> Self {
        Self::ALL.into_iter().find(|subject| subject.lens() == lens).unwrap_or(Self::DesktopName)
    }
}

/// What a row says of its desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Connected,
    /// UNREGISTER, REGISTERED or DISCONNECTED: nobody works on it.
    Free,
    /// A status that the contract does not name, or a row that cannot be read further.
    Odd,
}

/// A desktop of the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesktopRow {
    id: Option<String>,
    name: Option<String>,
    status: Status,
    users: BTreeSet<String>,
    has_group: bool,
}

impl DesktopRow {
    /// What it is known by: its id, else its name.
    fn key(&self) -> &str {
        self.id.as_deref().or(self.name.as_deref()).unwrap_or_default()
    }

    /// Whether others than one certain user may be the one who is connected.
    fn is_shared(&self) -> bool {
        self.has_group || self.users.len() != 1
    }
}

/// A listing as it is collected, page by page: a desktop that comes twice is kept as it came last.
#[derive(Debug, Default)]
pub struct Listing {
    desktops: BTreeMap<String, DesktopRow>,
    unreadable: u64,
}

impl Listing {
    /// Takes the rows of a page.
    pub fn take(&mut self, rows: Vec<Option<DesktopRow>>) {
        for row in rows {
            match row {
                Some(row) => drop(self.desktops.insert(row.key().to_owned(), row)),
                None => self.unreadable += 1,
            }
        }
    }

    /// All targets that the rows name; the error is how many rows do not tell theirs. Members of groups are not named.
    pub fn found(&self, subject: Subject) -> Result<Vec<Found>, u64> {
        let rows = self.desktops.values();
        if subject == Subject::User {
            let odd =
                rows.clone().filter(|row| row.status == Status::Odd && row.users.is_empty()).count() as u64;
            let users: BTreeSet<&String> = rows.flat_map(|row| &row.users).collect();
            let found = users.into_iter().map(|user| Found { id: user.clone(), name: None });
            return if self.unreadable + odd == 0 { Ok(found.collect()) } else { Err(self.unreadable + odd) };
        }
        let by_id = subject == Subject::DesktopId;
        let found: Vec<Found> = rows
            .filter_map(|row| {
                let (id, name) = if by_id { (&row.id, row.name.clone()) } else { (&row.name, None) };
                Some(Found { id: id.clone()?, name })
            })
            .collect();
        let unread = self.len() - found.len() as u64;
        if unread == 0 { Ok(found) } else { Err(unread) }
    }

    /// How many desktops there are, unreadable rows among them.
    pub fn len(&self) -> u64 {
        self.desktops.len() as u64 + self.unreadable
    }

    /// Each desktop's key with whether it is connected. One of unknown status is taken for connected: nothing says that
    /// its session is over.
    pub fn connected(&self) -> impl Iterator<Item = (&str, bool)> {
        self.desktops.iter().map(|(key, row)| (key.as_str(), row.status != Status::Free))
    }
}

/// Reads a desktop; `None` when not even its name can be read.
pub fn desktop(raw: &RawValue) -> Option<DesktopRow> {
    if let Ok(row) = serde_json::from_str::<wire::Desktop<'_>>(raw.get()) {
        let status = match row.connect_status.or(row.login_status).as_deref() {
            Some("CONNECTED") => Status::Connected,
            Some("UNREGISTER" | "REGISTERED" | "DISCONNECTED") => Status::Free,
            _ => Status::Odd,
        };
        let mut users = BTreeSet::new();
        let mut has_group = false;
        for attached in row.attach_users.or(row.attach_infos).unwrap_or_default() {
            let is_group = attached.kind.is_some_and(|kind| kind.to_ascii_uppercase().contains("GROUP"));
            match attached.name.filter(|name| !name.is_empty()) {
                Some(name) if !is_group => drop(users.insert(name.into_owned())),
                _ => has_group = true,
            }
        }
        return named(row.desktop_id, row.desktop_name, status, users, has_group);
    }
    let row: wire::DesktopName<'_> = serde_json::from_str(raw.get()).ok()?;
    named(row.desktop_id, row.desktop_name, Status::Odd, BTreeSet::new(), true)
}

fn named(
    id: Option<std::borrow::Cow<'_, str>>,
    name: Option<std::borrow::Cow<'_, str>>,
    status: Status,
    users: BTreeSet<String>,
    has_group: bool,
) -> Option<DesktopRow> {
    let text = |value: Option<std::borrow::Cow<'_, str>>| {
        value.filter(|text| !text.is_empty()).map(std::borrow::Cow::into_owned)
    };
    let (id, name) = (text(id), text(name));
    (id.is_some() || name.is_some()).then_some(DesktopRow { id, name, status, users, has_group })
}

/// Rows of an answer.
pub type Rows = Vec<(RowId, Result<Seen, Fault>)>;

/// What counts for or against a target.
#[derive(Default)]
struct Tally<'a> {
    /// Current connections, with their sessions where known.
    on: Vec<Option<&'a Login>>,
    /// Evidence that it is on none of these.
    off: u32,
    /// Rows that could not be judged.
    odd: u32,
    /// Places where it may or may not be.
    open_questions: u32,
}

impl Tally<'_> {
    fn conclude(&self) -> Option<Result<Seen, Fault>> {
        if self.on.is_empty() {
            return match (self.odd, self.open_questions, self.off) {
                (1.., _, _) => Some(Err(Fault::BadAnswer)),
                (0, 0, 1..) => Some(Ok(Seen { connections: Some(0), ..Seen::offline() })),
                _ => None,
            };
        }
        let certain = self.odd == 0 && self.open_questions == 0;
        let mut seen = Seen::online();
        if certain {
            seen.connections = u32::try_from(self.on.len()).ok();
        }
        let known: Option<Vec<&Login>> = self.on.iter().copied().collect();
        if let Some(known) = known.filter(|_| certain) {
            seen.started_ms = known.iter().map(|login| login.start_ms).min();
            let newest = known.iter().max_by_key(|login| login.start_ms);
            seen.network_rtt_ms = newest.and_then(|login| login.network_rtt_ms);
            seen.e2e_rtt_ms = newest.and_then(|login| login.e2e_rtt_ms);
        }
        Some(Ok(seen))
    }
}

/// A listing beside the sessions that are known.
pub struct Joined<'a> {
    listing: &'a Listing,
    table: Option<&'a Table>,
    cuts: &'a Cuts,
    /// Names that more than one desktop has: a record that gives only such a name is of nobody.
    doubled: BTreeSet<&'a str>,
}

impl<'a> Joined<'a> {
    /// Joins them. `table` is none when it is not up to date.
    pub fn new(listing: &'a Listing, table: Option<&'a Table>, cuts: &'a Cuts) -> Self {
        let mut names = BTreeSet::new();
        let doubled = listing
            .desktops
            .values()
            .filter_map(|row| row.name.as_deref())
            .filter(|name| !names.insert(*name))
            .collect();
        Self { listing, table, cuts, doubled }
    }

    /// The current session of a connected desktop.
    fn session(&self, row: &DesktopRow) -> Option<&'a Login> {
        let name = row.name.as_deref().filter(|name| !self.doubled.contains(name));
        let login = &self.table?.of_desktop(row.id.as_deref(), name)?.login;
        (login.end_ms.is_none() && self.cuts.allow(row.key(), login.setup_ms)).then_some(login)
    }

    /// The rows for a roster.
    pub fn rows(&self, roster: &Roster, subject: Subject) -> Rows {
        let (tallies, absent) = match subject {
            Subject::User => (self.users(roster), self.absent_user()),
            Subject::DesktopName | Subject::DesktopId => {
                (self.desktops(roster, subject), self.absent(Some(Err(Fault::RefusedId))))
            }
        };
        let concluded = roster.iter().filter_map(|target| {
            let said = match tallies.get(&target.row.index) {
                Some(tally) => tally.conclude(),
                None => absent.clone(),
            };
            Some((target.row, said?))
        });
        concluded.collect()
    }

    /// The names of desktops that matter to the roster and are connected without a known session.
    pub fn unexplained(&self, roster: &Roster, subject: Subject) -> impl Iterator<Item = &'a str> {
        let asked = move |row: &DesktopRow| match subject {
            Subject::DesktopName => row.name.as_deref().is_some_and(|name| roster.find(name).is_some()),
            Subject::DesktopId => row.id.as_deref().is_some_and(|id| roster.find(id).is_some()),
            Subject::User => row.has_group || row.users.iter().any(|user| roster.find(user).is_some()),
        };
        let rows = self.listing.desktops.values();
        rows.filter(move |row| row.status == Status::Connected && asked(row) && self.session(row).is_none())
            .filter_map(|row| row.name.as_deref())
    }

    fn desktops(&self, roster: &Roster, subject: Subject) -> BTreeMap<u32, Tally<'a>> {
        let mut tallies: BTreeMap<u32, Tally<'a>> = BTreeMap::new();
        for row in self.listing.desktops.values() {
            let id = if subject == Subject::DesktopId { &row.id } else { &row.name };
            let Some(target) = id.as_deref().and_then(|id| roster.find(id)) else { continue };
            let tally = tallies.entry(target).or_default();
            match row.status {
                Status::Connected => tally.on.push(self.session(row)),
                Status::Free => tally.off += 1,
                Status::Odd => tally.odd += 1,
            }
        }
        tallies
    }

    fn users(&self, roster: &Roster) -> BTreeMap<u32, Tally<'a>> {
        let mut tallies: BTreeMap<u32, Tally<'a>> = BTreeMap::new();
        for row in self.listing.desktops.values() {
            let login = if row.status == Status::Connected { self.session(row) } else { None };
            let worker = login.and_then(|login| login.user.as_deref());
            for user in &row.users {
                let Some(target) = roster.find(user) else { continue };
                let tally = tallies.entry(target).or_default();
                match row.status {
                    Status::Odd => tally.odd += 1,
                    Status::Free => tally.off += 1,
                    Status::Connected if !row.is_shared() => {
                        tally.on.push(login.filter(|_| worker.is_some_and(|worker| is_named(worker, user))));
                    }
                    Status::Connected => match worker {
                        None => tally.open_questions += 1,
                        Some(worker) if is_named(worker, user) => tally.on.push(login),
                        Some(_) => tally.off += 1,
                    },
                }
            }
            // A member of a group, or a user who is assigned in a way that the row does not name.
            if let Some(worker) = worker.filter(|_| row.is_shared()) {
                let assigned = |name: &str| row.users.contains(name);
                for name in names_of(worker).filter(|name| !assigned(name)) {
                    if let Some(target) = roster.find(name) {
                        tallies.entry(target).or_default().on.push(login);
                    }
                }
            }
        }
        tallies
    }

    /// What is said of a user whom no row names: nothing, if it may be a member of a group.
    fn absent_user(&self) -> Option<Result<Seen, Fault>> {
        let groups = self.listing.desktops.values().any(|row| row.has_group);
        self.absent((!groups).then_some(Err(Fault::RefusedId)))
    }

    /// What is said of a target that no row names; any unreadable row may be its own.
    fn absent(&self, otherwise: Option<Result<Seen, Fault>>) -> Option<Result<Seen, Fault>> {
        if self.listing.unreadable > 0 { Some(Err(Fault::BadAnswer)) } else { otherwise }
    }
}

/// The rows that login records alone allow: online by an open record that this pass has read, offline by an ended one
/// after which nothing is unread, and only where open records are known to be shown at all.
pub fn rows_of_records(
    table: &Table,
    roster: &Roster,
    subject: Subject,
    pass_ms: i64,
    read_since_ms: Option<i64>,
) -> Rows {
    let mut tallies: BTreeMap<u32, Tally<'_>> = BTreeMap::new();
    let is_evidence =
        |start_ms: i64| table.shows_open() && read_since_ms.is_none_or(|since| start_ms >= since);
    for slot in table.slots() {
        let login = &slot.login;
        let ids: Vec<&str> = match subject {
            Subject::DesktopName => login.computer.as_deref().into_iter().collect(),
            Subject::DesktopId => login.desktop_id.as_deref().into_iter().collect(),
            Subject::User => login.user.as_deref().into_iter().flat_map(names_of).collect(),
        };
        for target in ids.into_iter().filter_map(|id| roster.find(id)) {
            let tally = tallies.entry(target).or_default();
            match login.end_ms {
                None if slot.read_ms >= pass_ms => tally.on.push(Some(login)),
                Some(_) if subject == Subject::User => {}
                Some(_) if is_evidence(login.start_ms) => tally.off += 1,
                _ => tally.open_questions += 1,
            }
        }
    }
    if subject == Subject::User {
        for (user, log) in table.users() {
            for target in names_of(user).filter_map(|name| roster.find(name)) {
                let tally = tallies.entry(target).or_default();
                if log.ended && is_evidence(log.start_ms) {
                    tally.off += 1;
                } else if tally.on.is_empty() {
                    tally.open_questions += 1;
                }
            }
        }
    }
    let concluded =
        tallies.iter().filter_map(|(target, tally)| Some((roster.row(*target), tally.conclude()?)));
    concluded.collect()
}

/// Whether the user of a record is the user of a listing: `jy01@local.com` is `jy01` too.
fn is_named(of_record: &str, listed: &str) -> bool {
    names_of(of_record).any(|name| name == listed)
}

/// What the user of a record may be listed as: as it stands, and without its domain.
pub fn names_of(of_record: &str) -> impl Iterator<Item = &str> {
    let local = of_record.split_once('@').map(|(local, _)| local).filter(|local| !local.is_empty());
    std::iter::once(of_record).chain(local)
}
