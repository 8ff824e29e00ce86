//! One account's polling: takes questions from its line, asks them within budget and bounds, books what comes back.
//!
//! It spawns nothing and sleeps through the clock port, so it runs on any executor. All of an account's questions live in
//! one `FuturesUnordered`; who drives [`Polling::run`] drives them all.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::board::{Board, Other};
use super::booking::{Book, Done};
use super::breaker::Breaker;
use super::budget::Budget;
use super::changes::{Changes, ListChange, PoolChange};
use super::discovery::{self, Discovered};
use super::gate::AccountGate;
use super::line::{Ask, Job, Line};
use super::members::Door;
use super::rounds::End;
use super::{AccountTask, Member, PoolTask, Shared, cadence, plan};
use crate::domain::{ClockOffset, Fault, Moment, Target, Tick};
use crate::ports::BoxFuture;
use crate::providers::{Gate, Net, Question, Step, View};
use crate::telemetry::BudgetMeter;

mod leaving;

/// How long an orderly stop waits for questions under way.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often a refused account's secret files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The polling of one account.
pub struct Polling {
    task: AccountTask,
    shared: Shared,
    budget: Budget,
    gates: Vec<Arc<dyn Gate>>,
    line: Line,
    breaker: Breaker,
    meter: Arc<BudgetMeter>,
    /// How fast the account went when that was last looked at, in requests a second.
    rate: f64,
    /// By source: how far our clock is ahead of its provider's.
    offsets: Vec<Arc<Mutex<ClockOffset>>>,
    /// When secret files were last looked at.
    looked: Tick,
    book: Book,
    board: Arc<Board>,
    changes: Changes,
    /// Takes what discoveries find.
    finds: Option<mpsc::Sender<Discovered>>,
    /// The rate for which it was last decided who is left out.
    shed_for: Option<f64>,
}

impl Polling {
    /// Prepares an account's polling; every source's first question is due at once.
    pub fn new(task: AccountTask, shared: Shared) -> Self {
        let now = shared.ports.clock.now().tick;
        let budget = shared.ledger.account(&task.name, &task.quota, now);
        let meter = Arc::new(shared.telemetry.budget(&task.name));
        let mut line = Line::default();
        let (mut gates, mut offsets): (Vec<Arc<dyn Gate>>, _) = (Vec::new(), Vec::new());
        for source in &task.pools {
            let steps = source.provider.round();
            let rhythm = plan::rhythm(&steps, &source.roster);
            line.add(rhythm, steps.len(), source.roster.len(), source.interval, now);
            let offset = Arc::<Mutex<ClockOffset>>::default();
            offsets.push(offset.clone());
            gates.push(Arc::new(AccountGate {
                account: task.name.clone(),
                provider: source.kind.name(),
                budget: budget.clone(),
                clock: shared.ports.clock.clone(),
                transport: task.transport.clone(),
                telemetry: shared.telemetry.clone(),
                meter: meter.clone(),
                offset: offset.clone(),
            }));
        }
        discovery::begin(&task.pools, &mut line, now);
        let mut book = Book::new(task.name.clone(), &task.pools);
        book.resume(&task.pools, &shared.store);
        let cadences = cadence::begin(&task.pools, &mut line, now);
        let board = Arc::new(Board::new(task.name.clone(), &task.pools, cadences, now));
        let changes = Changes::new(task.pools.len());
        let full = task.quota.sustained_per_second();
        let mut polling = Self {
            rate: budget.rate(now),
            task,
            shared,
            budget,
            gates,
            line,
            breaker: Breaker::default(),
            meter,
            offsets,
            looked: now,
            book,
            board,
            changes,
            finds: None,
            shed_for: None,
        };
        polling.rate_changed(full);
        polling
    }

    fn door(&self) -> Door<'_> {
        Door { store: &self.shared.store, pools: &self.task.pools }
    }

    /// What is asked about.
    pub fn pools(&self) -> &[PoolTask] {
        &self.task.pools
    }

    /// What people may want to know of this account while it is polled.
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Where changes of the sources' targets are put, to be taken up between two questions.
    pub fn changes(&mut self) -> mpsc::Sender<ListChange> {
        self.changes.sender()
    }

    /// Says where to put what discoveries find.
    pub fn report_finds(&mut self, to: mpsc::Sender<Discovered>) {
        self.finds = Some(to);
    }

    /// Polls until `stop` says so, then waits a bounded time for what is under way.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let clock = self.shared.ports.clock.clone();
        let mut under_way: FuturesUnordered<BoxFuture<'static, Done>> = FuturesUnordered::new();
        while !*stop.borrow() {
            let now = clock.now();
            self.look_for_credentials(now);
            // One at a time: its first request must be booked before the next question is thought of.
            under_way.extend(self.next_question(now, under_way.len()));
            let wake = self.alarm(under_way.len());
            let alarm = async {
                match wake {
                    Some(tick) => clock.sleep_until(tick).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = stop.changed() => if changed.is_err() { break },
                change = self.changes.next() => self.replace(change),
                Some(done) = under_way.next(), if !under_way.is_empty() => self.settle(done),
                () = alarm => {}
            }
        }
        let deadline = clock.now().tick + STOP_GRACE;
        loop {
            tokio::select! {
                biased;
                done = under_way.next() => match done {
                    Some(done) => self.settle(done),
                    None => return,
                },
                () = clock.sleep_until(deadline) => return,
            }
        }
    }

    /// How many questions may be under way: one until the account is known to be let in.
    fn room(&self) -> usize {
        if self.breaker.is_tried() { 1 } else { self.task.concurrency }
    }

    /// When there is something to do beside answers.
    fn alarm(&self, under_way: usize) -> Option<Tick> {
        let look = self.breaker.parked_for().map(|_| self.looked + LOOK);
        self.wake(under_way).into_iter().chain(look).min()
    }

    /// A refused account is tried at once when its secrets change, and nobody has to restart anything.
    fn look_for_credentials(&mut self, now: Moment) {
        if self.breaker.parked_for().is_none() || now.tick < self.looked + LOOK {
            return;
        }
        self.looked = now.tick;
        if self.task.pools.iter().any(|source| source.provider.refreshed()) {
            info!(account = %self.task.name, "the refused account has other credentials now; it is tried with them");
            self.breaker.refreshed();
            self.budget.hold(self.breaker.until());
            self.board.refreshed();
        }
    }

    fn wake(&self, under_way: usize) -> Option<Tick> {
        if under_way >= self.room() {
            return None;
        }
        Some(self.line.due()?.max(self.budget.free_at()).max(self.breaker.until()))
    }

    fn next_question(&mut self, now: Moment, under_way: usize) -> Option<BoxFuture<'static, Done>> {
        if self.wake(under_way)? > now.tick {
            return None;
        }
        while let Some(job) = self.line.next(now.tick) {
            if let Some(until) = self.breaker.forbids(&job, now.tick) {
                self.leave_out(&job, until, now);
                continue;
            }
            let rows = self.book.rows(&job);
            let is_asked_whole = || !self.book.is_left_out(&self.task.pools[job.pool], job.pool);
            let asks_no_row = match job.ask {
                Ask::Discover(_) => true,
                Ask::Step(_) => is_asked_whole(),
                _ => false,
            };
            if !rows.is_empty() || asks_no_row {
                self.breaker.asked(&job);
                self.board.asked(&job, now, self.line.standing(job.pool));
                return Some(self.ask(job, rows));
            }
            self.book.skipped(&job, &self.task.pools[job.pool], &mut self.line, now.tick);
            self.ended(&job, End::Skipped, now.tick);
            self.board.skipped(&job, self.line.take_put_back(), now, self.line.standing(job.pool));
        }
        None
    }

    /// A question that is forbidden at present: its turn passes without it.
    fn leave_out(&mut self, job: &Job, until: Tick, now: Moment) {
        match job.ask {
            Ask::Step(_) => self.line.step_done(job.pool, now.tick),
            // Nothing else asks about a target that batches leave out, nor for the list.
            Ask::Solo(_) | Ask::Discover(_) => self.line.again(job.clone(), until.max(now.tick + LOOK)),
            Ask::Detail(row) => {
                self.door().failed(job.pool, now, std::iter::once(row), Fault::Forbidden);
            }
            Ask::Batch { .. } | Ask::Picked(_) => {}
        }
        self.ended(job, End::GivenUp, now.tick);
        self.board.skipped(job, self.line.take_put_back(), now, self.line.standing(job.pool));
    }

    fn ask(&mut self, job: Job, rows: Vec<u32>) -> BoxFuture<'static, Done> {
        let source = self.task.pools[job.pool].clone();
        self.changes.asked(job.pool, &source.roster);
        let ports = &self.shared.ports;
        let net = Net::new(
            self.gates[job.pool].clone(),
            ports.clock.clone(),
            ports.entropy.clone(),
            source.timeout,
        );
        let since_ms = source.log_since_ms(&self.shared.store);
        Box::pin(async move {
            let roster = &source.roster;
            let targets: Vec<Target<'_>> = rows.iter().map(|&row| roster.target(row)).collect();
            let views: Vec<View<'_>> = source.members.iter().map(Member::view).collect();
            let question = match job.ask {
                Ask::Batch { .. } | Ask::Picked(_) | Ask::Solo(_) => Question::Batch(&targets),
                Ask::Detail(row) => Question::Detail(roster.target(row)),
                Ask::Discover(member) => Question::Discover(source.members[member].lens),
                Ask::Step(step) => match source.steps[step] {
                    Step::Log { .. } => Question::Log { views: &views, since_ms },
                    Step::Listing { .. } | Step::Batches { .. } => Question::Listing(&views),
                },
            };
            let began = net.now();
            let mut result = source.provider.ask(question, &net).await;
            if let Ok(answer) = &mut result {
                source.pooled(answer);
            }
            let roster = Arc::clone(roster);
            Done { job, roster, rows, began, ended: net.now(), result, receipt: net.receipt() }
        })
    }

    fn ended(&mut self, job: &Job, end: End, now: Tick) {
        if let Some(took) = self.line.ended(job, end, now) {
            self.door().rounded(job.pool, took);
        }
    }

    fn settle(&mut self, mut done: Done) {
        self.changes.move_along(&mut done, &self.task.pools);
        let source = &self.task.pools[done.job.pool];
        discovery::tell(&mut done, source, self.finds.as_ref());
        let done = &done;
        let chance = self.shared.ports.entropy.bits();
        let before = (self.breaker.parked_for(), self.breaker.forbidden(&done.job).is_some());
        let end = self.book.settle(
            done,
            &self.task.pools,
            &self.shared.store,
            &mut self.line,
            &mut self.breaker,
            chance,
        );
        self.ended(&done.job, end, done.ended.tick);
        let (put_back, standing) = (self.line.take_put_back(), self.line.standing(done.job.pool));
        self.board.settled(done, &self.task.pools, put_back, standing, &self.breaker);
        let offset = self.offsets[done.job.pool].lock().unwrap_or_else(PoisonError::into_inner);
        self.board.clock_ahead(done.job.pool, offset.ahead_seconds());
        drop(offset);
        self.budget.hold(self.breaker.until());
        self.tell(done, before);
        self.rate_changed(self.rate.min(self.task.quota.sustained_per_second()));
    }

    /// One log line where the account goes slower, or somebody is parked or let in again; and the gauge of the latter.
    fn tell(&mut self, done: &Done, (parked, forbidden): (Option<Fault>, bool)) {
        let (account, source) = (&self.task.name, &self.task.pools[done.job.pool].name);
        let rate = self.budget.rate(done.ended.tick);
        if rate < self.rate {
            let requests_per_second = format!("{rate:.2}");
            warn!(%account, requests_per_second, "the provider throttles; the account goes slower for a while");
        }
        self.rate = rate;
        match (parked, self.breaker.parked_for()) {
            (None, Some(fault)) => {
                warn!(%account, %fault, "the account is refused; it is tried with one question now and then");
            }
            (Some(fault), None) => info!(%account, %fault, "the account is no longer refused"),
            _ => {}
        }
        self.meter.parked(self.breaker.parked_for().is_some());
        let action = done.receipt.action.unwrap_or("none");
        match (forbidden, self.breaker.forbidden(&done.job).is_some()) {
            (false, true) => {
                warn!(%account, %source, action, "the account may not ask this; it is tried now and then");
            }
            (true, false) => info!(%account, %source, action, "the account may ask this again"),
            _ => {}
        }
    }

    /// Goes on with other targets of a source. Those who stay lose nothing, and newcomers are unknown until they are asked
    /// about; answers under way are booked for those who are still there.
    fn replace(&mut self, change: ListChange) {
        let ListChange { pool: number, member, own, replacement, pools } = change;
        let now = self.shared.ports.clock.now();
        if !self.shared.store.replace(replacement) {
            return;
        }
        self.task.pools[number].members[member].roster = Arc::clone(&own.new);
        let mut others = Vec::new();
        for PoolChange { pool, change, rhythm, requests } in pools {
            let source = &mut self.task.pools[pool];
            source.roster = Arc::clone(&change.new);
            source.requests = requests;
            source.provider.replaced(&change);
            self.book.replace(pool, &change.moves);
            self.line.replace(pool, &change, rhythm.clone(), now.tick);
            self.changes.replaced(pool, &change);
            others.push(Other { pool, change, rhythm, standing: self.line.standing(pool) });
        }
        // Pools that stay as they are ask about those who came or went in any case.
        let mut replaced: Vec<usize> = others.iter().map(|other| other.pool).collect();
        self.board.replace((number, member), own.new.clone(), others);
        self.board.put_back(self.line.take_put_back());
        if let Some(decided) = self.shed_for {
            replaced.push(number);
            self.shed(decided, &replaced);
        }
        self.task.lengthen_max_ages(&self.shared.store);
    }
}
