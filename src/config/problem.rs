//! Problems of a configuration, all of them at once, each with its place and what to do.

use std::cell::RefCell;
use std::fmt;

use super::tree::Place;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file.
    pub place: Place,
    /// The YAML path, such as `sources.office.targets[3].id`; empty for the whole file.
    pub path: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
    /// What to do, if it is not plain from the message.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.place.line, self.place.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// The most problems that are kept: nobody reads more at once, and a hundred thousand bad targets must not fill the memory.
pub const LIMIT_PROBLEMS: usize = 1000;

/// Collects problems while a configuration is read: each once, [`LIMIT_PROBLEMS`] at most, and the number of the rest.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Kept>);

#[derive(Debug, Default)]
struct Kept {
    problems: Vec<Problem>,
    more: usize,
}

impl Problems {
    /// Notes a problem.
    pub fn add(&self, place: Place, path: &str, message: impl Into<String>) {
        self.push(Problem { place, path: path.to_owned(), message: message.into(), hint: None });
    }

    /// Notes a problem with what to do about it.
    pub fn add_with_hint(
        &self,
        place: Place,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Problem { place, path: path.to_owned(), message: message.into(), hint: Some(hint.into()) });
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().problems.is_empty()
    }

    /// All problems, in the order of the file; a last one without path says how many more there are.
    pub fn into_sorted(self) -> Vec<Problem> {
        let Kept { problems: mut all, more } = self.0.into_inner();
        all.sort_by_key(|problem| problem.place);
        if let (Some(last), true) = (all.last(), more > 0) {
            let message = format!("{more} more problems are not listed");
            all.push(Problem { place: last.place, path: String::new(), message, hint: None });
        }
        all
    }

    fn push(&self, problem: Problem) {
        let kept = &mut *self.0.borrow_mut();
        if kept.problems.len() >= LIMIT_PROBLEMS {
            kept.more += 1;
        } else if !kept.problems.contains(&problem) {
            kept.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(problems: &Problems, line: u32) {
        problems.add(Place { line, column: 1 }, "a", "bad");
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_each_once() {
        let problems = Problems::default();
        for line in [3, 1, 3, 2] {
            add(&problems, line);
        }
        let lines: Vec<_> = problems.into_sorted().iter().map(|problem| problem.place.line).collect();
        assert_eq!(lines, [1, 2, 3]);
    }

    #[test]
    fn of_very_many_problems_the_number_is_told() {
        let problems = Problems::default();
        for line in 1..=1200 {
            add(&problems, line);
        }
        let all = problems.into_sorted();
        assert_eq!(all.len(), LIMIT_PROBLEMS + 1);
        assert_eq!(all[LIMIT_PROBLEMS].message, "200 more problems are not listed");
    }
}
