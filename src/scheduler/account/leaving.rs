//! Leaves out whom the account's budget does not suffice for, and tells everybody who has to know. Who that is, is decided in
//! [`shedding`].

use tracing::{info, warn};

use super::Polling;
use crate::scheduler::PoolTask;
use crate::scheduler::shedding::{self, Want};

impl Polling {
    /// Leaves out whom a budget of so many requests a second does not suffice for, if the account may do so; to be told
    /// whenever the rate that can be kept up changes.
    pub(super) fn rate_changed(&mut self, per_second: f64) {
        let full = self.task.quota.sustained_per_second();
        let is_due = self.shed_for.is_none_or(|decided| shedding::is_due(decided, per_second, full));
        if self.task.shed && is_due {
            self.shed_for = Some(per_second);
            self.shed(per_second, &[]);
        }
    }

    /// Whoever is left out is told so; in pools whose targets were `replaced`, in any case.
    pub(super) fn shed(&mut self, per_second: f64, replaced: &[usize]) {
        let wants: Vec<Want<'_>> = self.task.pools.iter().map(PoolTask::want).collect();
        let decided = shedding::decide(&wants, per_second);
        let mut told = Vec::new();
        for (number, (source, shed)) in self.task.pools.iter().zip(decided).enumerate() {
            let (rhythm, left_out) = (shed.rhythm(&source.steps, &source.roster), shed.count);
            if !self.book.leave_out(number, shed.clone()) && !replaced.contains(&number) {
                continue;
            }
            let (account, name, targets) = (&self.task.name, &source.name, source.roster.len());
            if left_out > 0 {
                warn!(%account, source = %name, left_out, targets, "the budget does not suffice for all targets");
            } else if !replaced.contains(&number) {
                info!(%account, source = %name, targets, "the budget suffices for all targets again");
            }
            self.line.recut(number, rhythm.clone(), &shed);
            self.board.leave_out(number, shed, rhythm, self.line.standing(number));
            told.push(number);
        }
        let concerns = |(number, source): &(usize, &PoolTask)| {
            told.contains(number) || source.faster.iter().any(|faster| told.contains(faster))
        };
        let door = self.door();
        for (number, _) in self.task.pools.iter().enumerate().filter(concerns) {
            door.shed(number, |pool| self.book.shed(pool));
        }
    }
}
