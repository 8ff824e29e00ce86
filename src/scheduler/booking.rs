//! What follows from a question's end: rows into the store, retries, halves, details and pauses into line and pause, one
//! log line where a source's health changes. No waiting, no sending.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::SourceTask;
use super::line::{Ask, Job, Line};
use super::pause::{self, Pause};
use crate::domain::{Fault, Moment, RowId};
use crate::providers::{Answer, Failure, Receipt, Step};
use crate::store::Store;

/// How many rounds pass before a refused target is tried again, alone.
const REFUSED_ROUNDS: u32 = 20;

/// A refused target is tried again no sooner than this.
const REFUSED_MIN: Duration = Duration::from_secs(600);

/// A question that is over.
pub struct Done {
    /// What was asked.
    pub job: Job,
    /// The targets of a batch, solo or detail.
    pub rows: Vec<u32>,
    /// When asking began, before any permit.
    pub began: Moment,
    /// When the answer or failure was there.
    pub ended: Moment,
    /// What came of it.
    pub result: Result<Answer, Failure>,
    /// What was sent for it.
    pub receipt: Receipt,
}

/// What is remembered between questions of one account.
pub struct Book {
    account: Arc<str>,
    sources: Vec<Page>,
}

#[derive(Default)]
struct Page {
    /// Targets that are left out of batches, since the provider refuses them.
    refused: BTreeSet<u32>,
    /// Questions that failed since the last answer.
    failures: usize,
    /// The fault that was last logged; none while well.
    logged: Option<Fault>,
    /// Whether any answer came yet.
    heard: bool,
}

impl Book {
    /// An empty book for these sources.
    pub fn new(account: Arc<str>, sources: &[SourceTask]) -> Self {
        Self { account, sources: sources.iter().map(|_| Page::default()).collect() }
    }

    /// The targets that a question names, without those that the provider refuses.
    pub fn rows(&self, job: &Job) -> Vec<u32> {
        let refused = &self.sources[job.source].refused;
        match job.ask {
            Ask::Batch { from, to } => (from..to).filter(|row| !refused.contains(row)).collect(),
            Ask::Solo(row) | Ask::Detail(row) => vec![row],
            Ask::Step(_) => Vec::new(),
        }
    }

    /// Books a question's end.
    pub fn settle(
        &mut self,
        done: &Done,
        sources: &[SourceTask],
        store: &Store,
        line: &mut Line,
        pause: &mut Pause,
        chance: u64,
    ) {
        match &done.result {
            Ok(answer) => {
                pause.answered();
                self.answered(done, answer, &sources[done.job.source], store, line);
            }
            Err(failure) => {
                pause.failed(done.ended.tick, failure.fault, failure.wait, chance);
                self.failed(done, failure, &sources[done.job.source], store, line, chance);
                if failure.fault.is_account_wide() {
                    account_refused(done.ended, failure.fault, sources, store);
                }
            }
        }
        if let Ask::Step(_) = done.job.ask {
            line.step_done(done.job.source, done.ended.tick);
        }
    }

    fn answered(
        &mut self,
        done: &Done,
        answer: &Answer,
        source: &SourceTask,
        store: &Store,
        line: &mut Line,
    ) {
        let number = done.job.source;
        let as_of = done.receipt.as_of.unwrap_or(done.began);
        store.answered(as_of, &answer.rows);
        store.heard(source.roster.source(), source.roster.generation(), as_of);
        for row in &answer.details {
            line.detail(number, row.index);
        }
        if is_log(source, &done.job.ask) {
            store.log_read(source.roster.source(), source.roster.generation(), as_of.unix_ms);
        }
        if matches!(done.job.ask, Ask::Batch { .. } | Ask::Solo(_)) {
            let mut silent = left_out(done, answer).map(|row| source.roster.row(row));
            store.failed(as_of, &mut silent, Fault::BadAnswer);
        }
        let refused = answer.rows.iter().filter(|(_, seen)| *seen == Err(Fault::RefusedId));
        if let (Ask::Solo(row), 0) = (&done.job.ask, refused.count()) {
            self.sources[number].refused.remove(row);
        }
        self.well(number, source);
    }

    fn failed(
        &mut self,
        done: &Done,
        failure: &Failure,
        source: &SourceTask,
        store: &Store,
        line: &mut Line,
        chance: u64,
    ) {
        let (number, at) = (done.job.source, done.ended);
        if failure.fault == Fault::RefusedId && self.refused(done, source, store, line) {
            return;
        }
        let roster = &source.roster;
        match done.job.ask {
            Ask::Step(_) if speaks_of_presence(source, &done.job.ask) => {
                store.failed(at, &mut (0..roster.len()).map(|row| roster.row(row)), failure.fault);
            }
            Ask::Step(_) => {}
            _ => store.failed(at, &mut done.rows.iter().map(|&row| roster.row(row)), failure.fault),
        }
        let attempt = done.job.attempt;
        let again = pause::retry(at.tick, failure.fault, failure.wait, attempt, source.interval, chance);
        if let (Some(due), false) = (again, matches!(done.job.ask, Ask::Step(_))) {
            line.again(Job { attempt: attempt + 1, ..done.job.clone() }, due);
        }
        let page = &mut self.sources[number];
        page.failures += 1;
        if page.failures >= line.questions(number) {
            store.silent(roster.source(), roster.generation());
        }
        self.ill(number, source, failure, &done.receipt);
    }

    /// A batch that is refused for one of its ids is asked again in halves, until that id stands alone.
    fn refused(&mut self, done: &Done, source: &SourceTask, store: &Store, line: &mut Line) -> bool {
        let number = done.job.source;
        let now = done.ended.tick;
        match (&done.job.ask, done.rows.as_slice()) {
            (Ask::Batch { .. } | Ask::Solo(_), &[row]) => {
                if self.sources[number].refused.insert(row) {
                    let (source, id) = (&source.name, source.roster.id(row));
                    warn!(%source, id, "the provider refuses this id; correct or remove the target");
                }
                store.failed(done.ended, &mut [source.roster.row(row)].into_iter(), Fault::RefusedId);
                let pause = (source.interval * REFUSED_ROUNDS).max(REFUSED_MIN);
                line.again(Job { source: number, ask: Ask::Solo(row), attempt: 0 }, now + pause);
                true
            }
            (&Ask::Batch { from, to }, rows) if rows.len() > 1 => {
                let middle = rows[rows.len() / 2];
                for ask in [Ask::Batch { from, to: middle }, Ask::Batch { from: middle, to }] {
                    line.again(Job { source: number, ask, attempt: 0 }, now);
                }
                true
            }
            _ => false,
        }
    }

    fn well(&mut self, number: usize, source: &SourceTask) {
        let page = &mut self.sources[number];
        page.failures = 0;
        let (account, source) = (&self.account, &source.name);
        if page.logged.take().is_some() {
            info!(%account, %source, "the source answers again");
        } else if !page.heard {
            info!(%account, %source, "the source answers");
        }
        page.heard = true;
    }

    fn ill(&mut self, number: usize, source: &SourceTask, failure: &Failure, receipt: &Receipt) {
        let page = &mut self.sources[number];
        if page.logged == Some(failure.fault) {
            return;
        }
        page.logged = Some(failure.fault);
        let (account, source, fault) = (&self.account, &source.name, failure.fault);
        let action = receipt.action.unwrap_or("none");
        let request_id = receipt.request_id.as_deref().unwrap_or("");
        warn!(%account, %source, %fault, action, request_id, reason = failure.message, "a question failed");
    }
}

/// Every target of a refused account is told why nothing more will come.
fn account_refused(at: Moment, fault: Fault, sources: &[SourceTask], store: &Store) {
    for source in sources {
        let roster = &source.roster;
        store.failed(at, &mut (0..roster.len()).map(|row| roster.row(row)), fault);
        store.silent(roster.source(), roster.generation());
    }
}

/// Targets of a batch that the answer says nothing of, and whose detail will not be asked either.
fn left_out<'a>(done: &'a Done, answer: &'a Answer) -> impl Iterator<Item = u32> + 'a {
    let mut told: Vec<u32> =
        answer.rows.iter().map(|(row, _)| row).chain(&answer.details).map(|row: &RowId| row.index).collect();
    told.sort_unstable();
    done.rows.iter().copied().filter(move |row| told.binary_search(row).is_err())
}

fn is_log(source: &SourceTask, ask: &Ask) -> bool {
    matches!(ask, Ask::Step(step) if matches!(source.steps[*step], Step::Log { .. }))
}

/// A log speaks of presence only where the round has nothing else.
fn speaks_of_presence(source: &SourceTask, ask: &Ask) -> bool {
    !is_log(source, ask) || source.steps.iter().all(|step| matches!(step, Step::Log { .. }))
}
