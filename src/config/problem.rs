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

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

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
        self.0.borrow().is_empty()
    }

    /// All problems, in the order of the file.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|problem| problem.place);
        all
    }

    fn push(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }
}
