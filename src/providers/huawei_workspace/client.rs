//! Asks Workspace: a complete listing of desktops, and login records window by window.
//!
//! What it keeps between questions is the table of sessions, where each desktop was last seen free, and what is still to
//! be read. It does not decide what any of it means ([`super::map`], [`super::sessions`], [`super::windows`] do).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::account::Account;
use super::asking::Run;
use super::map::{self, Joined, Listing, Rows, Subject};
use super::pages::{Next, Pager};
use super::records::Record;
use super::replies::{read_desktops, read_records};
use super::sessions::{Cuts, Login, Table};
use super::windows::{BACK_MAX_MS, Backlog, OVERLAP_MS, Window, minute_text};
use super::{LIST_DESKTOPS, LIST_RECORDS, cost};
use crate::domain::{Fault, Moment, Tick};
use crate::ports::BoxFuture;
use crate::providers::http::{Failure, Net};
use crate::providers::{Answer, Costs, Provider, Question, Step, View};

/// Rows asked for in a page: the schema's maximum for connect-desktops ("maximum: 1000", API definitions; its text says
/// 2000), and the documented one for login records ("0-1000", the interface's page). A server may send fewer.
const PAGE_ROWS: &str = "1000";

/// The largest offset of connect-desktops ("maximum: 100000", API definitions).
const OFFSET_MAX: u64 = 100_000;

/// Pages of one listing: as many as a server that caps pages at 100 rows needs to come to [`OFFSET_MAX`], and some more.
const LISTING_PAGES_MAX: u32 = 1100;

/// How often a listing begins anew because it shrank while it was read; then the question fails.
const LISTING_RESTARTS: u32 = 2;

/// Pages of one window of login records: 10,000 logins even where a server caps pages at 100 rows.
const RECORD_PAGES_MAX: u32 = 100;

/// Stretches of the past that a pass reads beside its window; a day is read in four passes.
pub(super) const UNREAD_PER_PASS: usize = 6;

/// Sessions (or hours of them) that a pass asks again whether they are still open.
pub(super) const CHECKS_PER_PASS: usize = 3;

/// The same where records alone tell who is online: a day's worth in two passes.
pub(super) const CHECKS_PER_PASS_RECORDS_ONLY: usize = 12;

/// Days that a pass looks for a desktop in that is connected without a known session.
pub(super) const LOOKUPS_PER_PASS: usize = 2;

/// How old the last complete pass over login records may be for its sessions to be shown.
const TRUST: Duration = Duration::from_millis(OVERLAP_MS.unsigned_abs());

/// How long after its beginning a session's record may be read.
const REREAD: Duration = Duration::from_millis(BACK_MAX_MS.unsigned_abs());

/// One source of desktops or users.
pub struct Workspace {
    /// Who asks.
    pub account: Arc<Account>,
    /// Whether login records alone are asked.
    pub records_only: bool,
    /// How far back the first pass over login records reads, in milliseconds.
    pub lookback_ms: i64,
    /// What is kept between questions.
    pub memory: Mutex<Memory>,
}

/// What is kept between questions.
#[derive(Default)]
pub struct Memory {
    table: Table,
    backlog: Backlog,
    cuts: Cuts,
    /// When the last complete pass over login records began.
    records_at: Option<Tick>,
    /// When the last complete listing began.
    listed_at: Option<Tick>,
}

impl Memory {
    /// The sessions, if they are up to date at a listing that began at `now`: read since the listing before, so that no
    /// reconnect that a failed reading missed can hide behind an old session.
    fn fresh_table(&self, now: Tick) -> Option<&Table> {
        let read = self.records_at?;
        let newer = self.listed_at.is_none_or(|listed| read > listed);
        (newer && now.since(read) <= TRUST).then_some(&self.table)
    }
}

impl Provider for Workspace {
    fn round(&self) -> Vec<Step> {
        let log = Step::Log { action: &LIST_RECORDS, reread: REREAD };
        if self.records_only { vec![log] } else { vec![log, Step::Listing { action: &LIST_DESKTOPS }] }
    }

    fn costs(&self) -> Costs {
        cost::of(self)
    }

    fn refreshed(&self) -> bool {
        self.account.refreshed()
    }

    fn ask<'a>(&'a self, question: Question<'a>, net: &'a Net) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match question {
                Question::Listing(views) => {
                    let rows = self.listing(&Run::new(net, views)).await?;
                    Ok(Answer { rows, ..Answer::default() })
                }
                Question::Log { views, since_ms } => {
                    let run = Run::new(net, views);
                    let rows = self.log(&run, since_ms).await?;
                    Ok(Answer { rows, sessions: run.into_sessions(), ..Answer::default() })
                }
                Question::Discover(lens) => {
                    let (listing, _) = self.whole_listing(&Run::new(net, &[])).await?;
                    let found = listing.found(Subject::of(lens)).map_err(|rows| {
                        let message = format!("{rows} rows of the list of desktops cannot be read");
                        Failure::new(Fault::BadAnswer, message)
                    })?;
                    Ok(Answer { found, ..Answer::default() })
                }
                Question::Batch(_) | Question::Detail(_) => {
                    Err(Failure::new(Fault::Rejected, "Workspace is asked for listings and records only"))
                }
            }
        })
    }
}

impl Workspace {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listing(&self, run: &Run<'_>) -> Result<Rows, Failure> {
        let began = run.net.now().tick;
        let (listing, at_ms) = self.whole_listing(run).await?;
        let mut memory = self.memory();
        memory.cuts.take(listing.connected(), at_ms);
        let table = memory.fresh_table(began);
        let joined = Joined::new(&listing, table, &memory.cuts);
        let parts = || run.views.iter().map(|view| (view.roster, Subject::of(view.lens)));
        let rows = parts().flat_map(|(roster, subject)| joined.rows(roster, subject)).collect();
        let unexplained = table.filter(|table| table.shows_open()).map(|_| {
            let names = parts().flat_map(|(roster, subject)| joined.unexplained(roster, subject));
            names.map(str::to_owned).collect::<Vec<_>>()
        });
        if let Some(names) = unexplained {
            memory.backlog.look_for(names.iter().map(String::as_str));
        }
        memory.listed_at = Some(began);
        Ok(rows)
    }

    /// Reads every page, a few times if the list shrinks meanwhile, and tells the provider's time of the first.
    async fn whole_listing(&self, run: &Run<'_>) -> Result<(Listing, i64), Failure> {
        for _ in 0..=LISTING_RESTARTS {
            if let Some(complete) = self.read_listing(run).await? {
                return Ok(complete);
            }
        }
        Err(Failure::new(Fault::BadAnswer, "the list of desktops shrinks whenever it is read"))
    }

    /// Reads every page, and tells the provider's time of the first. `None`: the list shrank, and a desktop may have
    /// slipped through.
    async fn read_listing(&self, run: &Run<'_>) -> Result<Option<(Listing, i64)>, Failure> {
        let mut listing = Listing::default();
        let mut pager = Pager::default();
        let mut offset = 0;
        let mut at_ms = None;
        loop {
            let text = offset.to_string();
            let query = [("limit", PAGE_ROWS), ("offset", text.as_str())];
            let page =
                self.account.get(run, &LIST_DESKTOPS, "connect-desktops", &query, read_desktops).await?;
            at_ms.get_or_insert(page.at_ms);
            let count = page.rows.len();
            listing.take(page.rows);
            match pager.took(count, page.total) {
                Next::Done => break,
                Next::Page(next) if next > OFFSET_MAX || pager.pages() >= LISTING_PAGES_MAX => {
                    let message =
                        format!("there are more desktops than {OFFSET_MAX} or {LISTING_PAGES_MAX} pages");
                    return Err(Failure::new(Fault::BadAnswer, message));
                }
                Next::Page(next) => offset = next,
            }
        }
        if pager.shrank() {
            return Ok(None);
        }
        if pager.total().is_some_and(|total| listing.len() < total) {
            return Err(Failure::new(
                Fault::BadAnswer,
                "the list of desktops ended before its own total_count",
            ));
        }
        Ok(at_ms.map(|at_ms| (listing, at_ms)))
    }

    async fn log(&self, run: &Run<'_>, since_ms: Option<i64>) -> Result<Rows, Failure> {
        let began = run.net.now();
        let plan = self.memory().backlog.plan(began.unix_ms, since_ms, self.lookback_ms);
        self.read_records(run, &plan.window).await?;
        {
            let mut memory = self.memory();
            memory.backlog.passed(&plan, began.unix_ms);
            memory.records_at = Some(began.tick);
        }
        // Who is online comes first: the past is read once there was a listing.
        if self.records_only || self.memory().listed_at.is_some() {
            self.read_more(run, began, plan.window.start_ms).await;
        }
        let mut memory = self.memory();
        let wanted = |login: &Login| {
            let ids = [&login.desktop_id, &login.computer];
            let is_listed = |id: &String| run.views.iter().any(|view| view.roster.find(id).is_some());
            self.records_only && ids.into_iter().flatten().any(is_listed)
        };
        let asks_for_users = run.views.iter().any(|view| Subject::of(view.lens) == Subject::User);
        let wanted_user = |_: &str| self.records_only && asks_for_users;
        memory.table.prune(began.unix_ms, wanted, wanted_user);
        if !self.records_only {
            return Ok(Rows::new());
        }
        let read_since = memory.backlog.read_since_ms();
        let rows = |view: &View<'_>| {
            let subject = Subject::of(view.lens);
            map::rows_of_records(&memory.table, view.roster, subject, began.unix_ms, read_since)
        };
        Ok(run.views.iter().flat_map(rows).collect())
    }

    /// What a pass reads beside its window, a bounded part at a time. It never costs the pass: the window's records are
    /// there, and what was not read now is read next time.
    async fn read_more(&self, run: &Run<'_>, began: Moment, window_start_ms: i64) {
        let count = if self.records_only { CHECKS_PER_PASS_RECORDS_ONLY } else { CHECKS_PER_PASS };
        let checks = self.memory().table.checks(window_start_ms, count);
        for window in checks {
            if !self.read_extra(run, &window).await.is_over() {
                return;
            }
        }
        for _ in 0..UNREAD_PER_PASS {
            let Some(window) = self.memory().backlog.next_unread().cloned() else { break };
            let extra = self.read_extra(run, &window).await;
            if !extra.is_over() {
                return;
            }
            self.memory().backlog.unread_done(extra == Extra::Refused);
        }
        let again = self.memory().backlog.next_again().cloned();
        if let Some(window) = again {
            if !self.read_extra(run, &window).await.is_over() {
                return;
            }
            self.memory().backlog.again_done();
        }
        for _ in 0..LOOKUPS_PER_PASS {
            let lookup = self.memory().backlog.next_lookup(began.unix_ms, self.lookback_ms);
            let Some(window) = lookup else { return };
            if !self.read_extra(run, &window).await.is_over() {
                return;
            }
            self.memory().backlog.lookup_done(window.computer.as_deref().unwrap_or_default());
        }
    }

    async fn read_extra(&self, run: &Run<'_>, window: &Window) -> Extra {
        match self.read_records(run, window).await {
            Ok(()) => Extra::Read,
            Err(failure) if matches!(failure.fault, Fault::Rejected | Fault::RefusedId) => Extra::Refused,
            Err(_) => Extra::Failed,
        }
    }

    /// Reads every page of a window into the table; sessions count from each page that came, since they count once only.
    async fn read_records(&self, run: &Run<'_>, window: &Window) -> Result<(), Failure> {
        let (start, end) = (minute_text(window.start_ms), minute_text(window.end_ms));
        let mut pager = Pager::default();
        let mut offset = 0;
        loop {
            let text = offset.to_string();
            let mut query = vec![
                ("start_time", start.as_str()),
                ("end_time", end.as_str()),
                ("limit", PAGE_ROWS),
                ("offset", text.as_str()),
            ];
            query.extend(window.user.as_deref().map(|user| ("user_name", user)));
            query.extend(window.computer.as_deref().map(|computer| ("computer_name", computer)));
            let page =
                self.account.get(run, &LIST_RECORDS, "connections/desktops", &query, read_records).await?;
            let count = page.rows.len();
            run.take_sessions(&page.rows.iter().flatten());
            let read_ms = run.net.now().unix_ms;
            let logins = page.rows.into_iter().flatten().filter_map(Record::into_login);
            let mut memory = self.memory();
            logins.for_each(|login| memory.table.take(login, read_ms));
            drop(memory);
            match pager.took(count, page.total) {
                Next::Done => return Ok(()),
                Next::Page(_) if pager.pages() >= RECORD_PAGES_MAX => {
                    let message =
                        format!("a window has more login records than {RECORD_PAGES_MAX} pages hold");
                    return Err(Failure::new(Fault::BadAnswer, message));
                }
                Next::Page(next) => offset = next,
            }
        }
    }
}

/// How reading something beside the window went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    Read,
    Refused,
    Failed,
}

impl Extra {
    /// Whether there is no use in asking the same again.
    fn is_over(self) -> bool {
        self != Self::Failed
    }
}
