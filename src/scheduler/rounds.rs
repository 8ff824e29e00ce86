//! How long a source's rounds take: from a round's first question to the last answer that was missing for it.
//!
//! Pure bookkeeping beside the line: retries and halves of a refused batch belong to the round of the question that they
//! came from. A round in which a question was given up has no duration.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::Tick;

/// Rounds of one source under way at once at most: one, the last answers of the one before, and room for slow retries.
/// The oldest beyond it is forgotten.
const UNDER_WAY_MAX: usize = 4;

/// How a question of a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All that there is to know came of it.
    Answered,
    /// It is asked again, whole or in parts, which were put back already.
    PutBack,
    /// Nobody was left to be asked about in it.
    Skipped,
    /// It is given up until the next round.
    GivenUp,
}

/// The rounds of one source that are not over.
#[derive(Debug, Default)]
pub struct Rounds {
    under_way: VecDeque<Round>,
    next: u32,
}

#[derive(Debug)]
struct Round {
    number: u32,
    began: Tick,
    /// Questions that have not ended.
    open: u32,
    all_asked: bool,
    given_up: bool,
    answered: Option<Tick>,
}

impl Rounds {
    /// A regular question is asked, the `first` or `last` of its round or neither; returns the round's number.
    pub fn asked(&mut self, first: bool, last: bool, now: Tick) -> u32 {
        if first || self.under_way.is_empty() {
            if self.under_way.len() >= UNDER_WAY_MAX {
                self.under_way.pop_front();
            }
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            // One that is joined in its middle is never whole.
            let (began, given_up) = (now, !first);
            self.under_way.push_back(Round {
                number,
                began,
                open: 0,
                all_asked: false,
                given_up,
                answered: None,
            });
        }
        let Some(round) = self.under_way.back_mut() else { return self.next };
        round.open += 1;
        round.all_asked |= last;
        round.number
    }

    /// A question of this round was put back.
    pub fn put_back(&mut self, round: u32) {
        self.find(round).into_iter().for_each(|round| round.open += 1);
    }

    /// A question of this round ended; returns how long the round took, if that was the last one and none was given up.
    pub fn ended(&mut self, round: u32, end: End, now: Tick) -> Option<Duration> {
        let at = self.under_way.iter().position(|known| known.number == round)?;
        let round = &mut self.under_way[at];
        round.open = round.open.saturating_sub(1);
        round.given_up |= end == End::GivenUp;
        if end == End::Answered {
            round.answered = Some(now);
        }
        if round.open > 0 || !round.all_asked {
            return None;
        }
        let round = self.under_way.remove(at)?;
        round.answered.filter(|_| !round.given_up).map(|answered| answered.since(round.began))
    }

    /// The targets are others from now on: the rounds under way have no duration, whatever comes of their questions.
    pub fn abandon(&mut self) {
        self.under_way.clear();
    }

    fn find(&mut self, number: u32) -> Option<&mut Round> {
        self.under_way.iter_mut().find(|round| round.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Tick {
        Tick::from_micros(second * 1_000_000)
    }

    fn seconds(took: Option<Duration>) -> Option<u64> {
        took.map(|took| took.as_secs())
    }

    #[test]
    fn a_round_lasts_from_its_first_question_to_its_last_answer_be_it_that_of_a_retry() {
        let mut rounds = Rounds::default();
        let first = rounds.asked(true, false, at(10));
        assert_eq!(rounds.asked(false, true, at(15)), first);
        rounds.put_back(first);
        assert_eq!(rounds.ended(first, End::PutBack, at(16)), None);
        assert_eq!(rounds.ended(first, End::Answered, at(17)), None);
        // The next round has begun meanwhile.
        let second = rounds.asked(true, true, at(20));
        assert_eq!(seconds(rounds.ended(first, End::Answered, at(22))), Some(12));
        assert_eq!(seconds(rounds.ended(second, End::Answered, at(23))), Some(3));
        assert!(rounds.under_way.is_empty());
    }

    #[test]
    fn a_round_in_which_a_question_was_given_up_or_none_was_asked_has_no_duration() {
        let mut rounds = Rounds::default();
        let round = rounds.asked(true, false, at(0));
        rounds.asked(false, true, at(1));
        assert_eq!(rounds.ended(round, End::GivenUp, at(2)), None);
        assert_eq!(rounds.ended(round, End::Answered, at(3)), None);
        let round = rounds.asked(true, true, at(4));
        assert_eq!(rounds.ended(round, End::Skipped, at(5)), None);
        let round = rounds.asked(true, false, at(6));
        rounds.asked(false, true, at(7));
        rounds.ended(round, End::Answered, at(8));
        assert_eq!(
            seconds(rounds.ended(round, End::Skipped, at(9))),
            Some(2),
            "nobody waited for the second"
        );
    }

    #[test]
    fn rounds_that_never_end_are_forgotten_and_disturb_no_other() {
        let mut rounds = Rounds::default();
        let forgotten = rounds.asked(true, true, at(0));
        for second in 1..100 {
            let round = rounds.asked(true, true, at(second));
            if second % 2 == 0 {
                assert_eq!(seconds(rounds.ended(round, End::Answered, at(second + 1))), Some(1));
            }
        }
        assert_eq!(rounds.ended(forgotten, End::Answered, at(100)), None);
        assert!(rounds.under_way.len() <= UNDER_WAY_MAX);
    }
}
