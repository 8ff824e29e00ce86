//! The table of sessions that login records make: for each desktop the newest one, for each user whether the newest one
//! has ended.
//!
//! Values in, values out: no clock, no wire, no waiting. A session that is still open grows older than the window that is
//! read again and again, so it has to be remembered here; what ends it is (i) its desktop seen not connected, which
//! [`Cuts`] keep, (ii) a newer session of the same desktop, (iii) a later reading of its record, (iv) its age.
//! It does not know which desktops or users anybody asked for.

use std::collections::BTreeMap;

use super::windows::{HOUR_MS, MINUTE_MS, Window};

/// The most desktops (and, apart, users) that are remembered. connect-desktops cannot list more than about 101,000
/// ("offset: 0 to 100000", API definitions); beyond this, new ones are not remembered, and have no start and no RTT.
pub const SESSIONS_MAX: usize = 150_000;

/// How long an open session may last: one that is older is forgotten, since a record without an end may also be one whose
/// end was never written.
pub const SESSION_AGE_MAX_MS: i64 = 7 * 24 * HOUR_MS;

/// A record of a login that succeeded. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The id of the connection attempt, where records have one.
    pub transaction: Option<String>,
    /// The desktop's id, where records have one.
    pub desktop_id: Option<String>,
    /// The desktop's name in its operating system.
    pub computer: Option<String>,
    /// The desktop's SID.
    pub sid: Option<String>,
    /// Who logged in, perhaps with `@domain`.
    pub user: Option<String>,
    /// When the connection was begun.
    pub start_ms: i64,
    /// When it stood.
    pub setup_ms: i64,
    /// When it ended. `None`: it is open.
    pub end_ms: Option<i64>,
    /// Network round-trip time.
    pub network_rtt_ms: Option<u32>,
    /// End-to-end round-trip time.
    pub e2e_rtt_ms: Option<u32>,
}

impl Login {
    /// The desktop that it belongs to: by id, else by name, else by SID.
    fn place(&self) -> Option<String> {
        let by_id = self.desktop_id.as_deref().map(id_place);
        by_id
            .or_else(|| self.computer.as_deref().map(name_place))
            .or_else(|| self.sid.as_deref().map(|sid| format!("s{sid}")))
    }

    /// Whether two records of one desktop are copies of the same session.
    fn is_same(&self, other: &Self) -> bool {
        match (&self.transaction, &other.transaction) {
            (Some(left), Some(right)) => left == right,
            _ => self.start_ms == other.start_ms && self.user == other.user,
        }
    }
}

fn id_place(id: &str) -> String {
    format!("i{id}")
}

fn name_place(name: &str) -> String {
    format!("n{name}")
}

/// A desktop's newest session, and when its record was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The record, as last read.
    pub login: Login,
    /// When it was last read.
    pub read_ms: i64,
}

/// What is known of a user's newest session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserLog {
    /// When it began.
    pub start_ms: i64,
    /// Whether its end was read.
    pub ended: bool,
}

/// The newest session of each desktop.
#[derive(Debug, Default)]
pub struct Table {
    desktops: BTreeMap<String, Slot>,
    users: BTreeMap<String, UserLog>,
    shows_open: bool,
}

impl Table {
    /// Takes a record that was read at `read_ms`. The order of readings does not matter, but for copies of one session:
    /// the later one replaces the earlier one, and an end stays.
    pub fn take(&mut self, login: Login, read_ms: i64) {
        self.shows_open |= login.end_ms.is_none();
        self.take_user(&login);
        let Some(place) = login.place() else { return };
        if let Some(slot) = self.desktops.get_mut(&place) {
            let ended = slot.login.end_ms;
            if slot.login.is_same(&login) {
                *slot = Slot { login: Login { end_ms: login.end_ms.or(ended), ..login }, read_ms };
            } else if login.start_ms >= slot.login.start_ms {
                *slot = Slot { login, read_ms };
            }
        } else if self.desktops.len() < SESSIONS_MAX {
            self.desktops.insert(place, Slot { login, read_ms });
        }
    }

    fn take_user(&mut self, login: &Login) {
        let Some(user) = &login.user else { return };
        let log = UserLog { start_ms: login.start_ms, ended: login.end_ms.is_some() };
        if let Some(known) = self.users.get_mut(user) {
            if log.start_ms > known.start_ms {
                *known = log;
            } else if log.start_ms == known.start_ms {
                known.ended |= log.ended;
            }
        } else if self.users.len() < SESSIONS_MAX {
            self.users.insert(user.clone(), log);
        }
    }

    /// Whether an open session was ever shown: some installations may write a record only after the session's end, and
    /// then a missing open record says nothing.
    pub fn shows_open(&self) -> bool {
        self.shows_open
    }

    /// The newest session of a desktop: by its id, else by its name, which must be no other desktop's.
    pub fn of_desktop(&self, id: Option<&str>, name: Option<&str>) -> Option<&Slot> {
        let by_id = id.and_then(|id| self.desktops.get(&id_place(id)));
        by_id.or_else(|| name.and_then(|name| self.desktops.get(&name_place(name))))
    }

    /// The newest session of every desktop.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.desktops.values()
    }

    /// What is known of each user's newest session.
    pub fn users(&self) -> impl Iterator<Item = (&str, &UserLog)> {
        self.users.iter().map(|(name, log)| (name.as_str(), log))
    }

    /// Forgets what is too old to matter: sessions that began or ended more than [`SESSION_AGE_MAX_MS`] ago. An ended one
    /// stays if `keep` says so: an offline target's last record is the evidence for it.
    pub fn prune(&mut self, now_ms: i64, keep: impl Fn(&Login) -> bool, keep_user: impl Fn(&str) -> bool) {
        let oldest = now_ms - SESSION_AGE_MAX_MS;
        self.desktops.retain(|_, slot| match slot.login.end_ms {
            None => slot.login.start_ms >= oldest,
            Some(end) => end >= oldest || keep(&slot.login),
        });
        self.users.retain(|name, log| log.start_ms >= oldest || keep_user(name));
    }

    /// What to read again to learn whether sessions that began before `before_ms` are still open: at most `count` windows,
    /// those first whose sessions were not read for the longest time. Sessions that began in one hour share a window; one
    /// alone is asked for by its user.
    pub fn checks(&self, before_ms: i64, count: usize) -> Vec<Window> {
        let mut hours: BTreeMap<i64, Vec<&Slot>> = BTreeMap::new();
        for slot in self.slots().filter(|slot| slot.login.end_ms.is_none()) {
            if slot.login.start_ms < before_ms {
                hours.entry(slot.login.start_ms.div_euclid(HOUR_MS)).or_default().push(slot);
            }
        }
        let mut hours: Vec<(i64, Vec<&Slot>)> = hours
            .into_values()
            .map(|slots| (slots.iter().map(|slot| slot.read_ms).min().unwrap_or(i64::MIN), slots))
            .collect();
        hours.sort_by_key(|(read_ms, _)| *read_ms);
        hours.into_iter().take(count).filter_map(|(_, slots)| window_of(&slots)).collect()
    }
}

fn window_of(slots: &[&Slot]) -> Option<Window> {
    let starts = || slots.iter().map(|slot| slot.login.start_ms.div_euclid(MINUTE_MS) * MINUTE_MS);
    let user = if let [only] = slots { only.login.user.clone() } else { None };
    Some(Window { start_ms: starts().min()?, end_ms: starts().max()? + 2 * MINUTE_MS, user, computer: None })
}

/// When each desktop was last seen not connected: a session that stood before then is over, whatever its record says,
/// since records are written late.
#[derive(Debug, Default)]
pub struct Cuts(BTreeMap<String, i64>);

impl Cuts {
    /// Takes a complete listing: desktops by id (or name) with whether they are connected. Desktops that are not listed
    /// are forgotten.
    pub fn take<'a>(&mut self, listed: impl Iterator<Item = (&'a str, bool)>, at_ms: i64) {
        let mut old = std::mem::take(&mut self.0);
        for (desktop, connected) in listed {
            let cut = if connected { old.remove(desktop) } else { Some(at_ms) };
            if let Some(cut) = cut {
                self.0.insert(desktop.to_owned(), cut);
            }
        }
    }

    /// Whether a session of this desktop that stood at `setup_ms` can still be the current one.
    pub fn allow(&self, desktop: &str, setup_ms: i64) -> bool {
        self.0.get(desktop).is_none_or(|cut| setup_ms >= *cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 1_772_330_400_000;

    fn login(computer: &str, user: &str, start_s: i64, end_s: Option<i64>) -> Login {
        Login {
            transaction: None,
            desktop_id: None,
            computer: Some(computer.into()),
            sid: None,
            user: Some(user.into()),
            start_ms: BASE + start_s * 1000,
            setup_ms: BASE + start_s * 1000 + 2000,
            end_ms: end_s.map(|s| BASE + s * 1000),
            network_rtt_ms: Some(10),
            e2e_rtt_ms: None,
        }
    }

    fn open(table: &Table, computer: &str) -> Option<i64> {
        let slot = table.of_desktop(None, Some(computer))?;
        slot.login.end_ms.is_none().then_some((slot.login.start_ms - BASE) / 1000)
    }

    #[test]
    fn a_later_copy_replaces_an_earlier_one_and_an_end_stays() {
        let mut table = Table::default();
        table.take(login("PC", "a", 0, None), BASE);
        assert_eq!(open(&table, "PC"), Some(0));
        table.take(Login { network_rtt_ms: Some(30), ..login("PC", "a", 0, None) }, BASE + 1);
        assert_eq!(table.of_desktop(None, Some("PC")).unwrap().login.network_rtt_ms, Some(30));
        table.take(login("PC", "a", 0, Some(60)), BASE + 2);
        table.take(login("PC", "a", 0, None), BASE + 3);
        assert_eq!(open(&table, "PC"), None);
    }

    #[test]
    fn the_order_of_records_does_not_matter() {
        let records =
            [login("PC", "a", 0, None), login("PC", "b", 100, Some(200)), login("PC", "a", 300, None)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut table = Table::default();
            for n in order {
                table.take(records[n].clone(), BASE);
            }
            assert_eq!(open(&table, "PC"), Some(300), "{order:?}");
        }
    }

    #[test]
    fn a_newer_session_of_a_desktop_ends_the_older_one_even_when_it_has_ended_itself() {
        let mut table = Table::default();
        table.take(login("PC", "a", 0, None), BASE);
        table.take(login("PC", "b", 100, Some(200)), BASE);
        assert_eq!(open(&table, "PC"), None);
        table.take(login("PC", "a", 0, None), BASE + 1);
        assert_eq!(open(&table, "PC"), None, "a record whose end was never written is not believed again");
    }

    #[test]
    fn transactions_tell_sessions_of_one_start_apart_and_copies_together() {
        let with = |id: &str, end| Login { transaction: Some(id.into()), ..login("PC", "a", 0, end) };
        let mut table = Table::default();
        table.take(with("t1", Some(10)), BASE);
        table.take(with("t2", None), BASE);
        assert_eq!(open(&table, "PC"), Some(0));
        table.take(with("t2", Some(20)), BASE);
        assert_eq!(open(&table, "PC"), None);
    }

    #[test]
    fn a_user_on_two_desktops_has_ended_only_when_the_newest_session_has() {
        let mut table = Table::default();
        let of = |table: &Table| table.users().find(|(name, _)| *name == "a").map(|(_, log)| log.ended);
        table.take(login("PC1", "a", 0, Some(50)), BASE);
        assert_eq!(of(&table), Some(true));
        table.take(login("PC2", "a", 60, None), BASE);
        assert_eq!(of(&table), Some(false));
        table.take(login("PC1", "a", 0, Some(50)), BASE);
        assert_eq!(of(&table), Some(false));
    }

    #[test]
    fn checks_take_the_longest_unread_first_and_share_an_hour() {
        let mut table = Table::default();
        table.take(login("PC1", "a", 0, None), BASE + 5);
        table.take(login("PC2", "b", 600, None), BASE + 3);
        table.take(login("PC3", "c", 7300, None), BASE + 1);
        table.take(login("PC4", "d", 9_000, Some(9_001)), BASE);
        table.take(login("PC5", "e", 90_000, None), BASE);
        let checks = table.checks(BASE + 80_000_000, 5);
        assert_eq!(checks.len(), 2);
        assert_eq!(checks[0].user.as_deref(), Some("c"));
        assert_eq!(checks[0].end_ms - checks[0].start_ms, 2 * MINUTE_MS);
        assert_eq!(checks[1].user, None);
        assert!(checks[1].start_ms <= BASE && checks[1].end_ms > BASE + 600_000);
        assert_eq!(table.checks(BASE + 80_000_000, 1).len(), 1);
    }

    #[test]
    fn what_is_too_old_is_forgotten_unless_it_is_evidence() {
        let mut table = Table::default();
        table.take(login("OPEN", "a", 0, None), BASE);
        table.take(login("KEPT", "b", 0, Some(1)), BASE);
        table.take(login("GONE", "c", 0, Some(1)), BASE);
        let keep = |login: &Login| login.computer.as_deref() == Some("KEPT");
        table.prune(BASE + SESSION_AGE_MAX_MS, keep, |_| false);
        assert_eq!(table.slots().count(), 3);
        table.prune(BASE + SESSION_AGE_MAX_MS + 2000, keep, |name| name == "b");
        assert_eq!(table.slots().count(), 1);
        assert_eq!(table.users().count(), 1);
    }

    #[test]
    fn the_table_has_an_end() {
        let mut table = Table::default();
        for n in 0..i64::try_from(SESSIONS_MAX).unwrap() + 10 {
            table.take(login(&format!("PC{n}"), &format!("u{n}"), 0, None), BASE);
        }
        assert_eq!((table.slots().count(), table.users().count()), (SESSIONS_MAX, SESSIONS_MAX));
    }

    #[test]
    fn a_session_that_stood_before_its_desktop_was_seen_free_is_over() {
        let mut cuts = Cuts::default();
        cuts.take([("d1", true), ("d2", false)].into_iter(), BASE);
        assert!(cuts.allow("d1", BASE - 1));
        assert!(!cuts.allow("d2", BASE - 1) && cuts.allow("d2", BASE));
        cuts.take([("d2", true)].into_iter(), BASE + 5000);
        assert!(!cuts.allow("d2", BASE - 1) && cuts.allow("d2", BASE + 1));
        cuts.take(std::iter::empty(), BASE + 6000);
        assert!(cuts.allow("d2", BASE - 1));
    }
}
