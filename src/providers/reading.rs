//! A list that is read page by page, whole or not at all: what discoveries take.
//!
//! Nothing holds a list still while it is read, so that somebody may slip through between two pages while others come or
//! go. What tells that is looked at after each page; whoever reads begins anew then, a few times. Pure; it asks nobody.

use std::collections::BTreeSet;

use super::Failure;
use super::loose::Loose;
use crate::config::target_files::LIMIT_TARGETS;
use crate::domain::Fault;

/// Ids of one list at most: as many as a source may have targets.
const IDS_MAX: usize = LIMIT_TARGETS as usize;

/// Pages of one list at most: two million ids by five hundred. More would take minutes of any account's budget.
const PAGES_MAX: u32 = 4000;

/// How often a list is read that moves whenever it is read; then the question fails.
pub const READINGS: u32 = 3;

/// Where a reading stands.
#[derive(Debug, Default)]
pub struct Reading {
    ids: BTreeSet<String>,
    rows: usize,
    pages: u32,
    /// How many there are by the provider's count, where it tells one.
    total: Option<usize>,
}

/// A page of a list.
#[derive(Debug, Default)]
pub struct Page {
    /// The ids on it.
    pub ids: Vec<String>,
    /// How many there are in all by the provider's count, if it tells one.
    pub total: Option<usize>,
    /// Whether no page follows, by whatever shows that where no count is told.
    pub seems_last: bool,
}

/// What comes after a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The page of this number, from 1.
    Page(u32),
    /// Nothing: the list is whole.
    Whole,
    /// The list from its beginning: it moved.
    Again,
    /// Nothing: there is more than is read.
    TooMuch,
}

impl Reading {
    /// Books a page.
    pub fn took(&mut self, page: Page) -> Next {
        let count = page.ids.len();
        self.ids.extend(page.ids);
        self.rows += count;
        self.pages += 1;
        if self.pages > 1 && page.total != self.total {
            return Next::Again;
        }
        self.total = page.total;
        let is_over = match page.total {
            Some(total) => count == 0 || self.rows >= total,
            None => count == 0 || page.seems_last,
        };
        if is_over {
            let wanted = page.total.unwrap_or(self.rows);
            return if self.ids.len() == wanted { Next::Whole } else { Next::Again };
        }
        if self.pages >= PAGES_MAX || self.rows.max(page.total.unwrap_or(0)) > IDS_MAX {
            return Next::TooMuch;
        }
        Next::Page(self.pages + 1)
    }

    /// The ids, once the list is whole.
    pub fn into_ids(self) -> BTreeSet<String> {
        self.ids
    }
}

/// A count in a reply, as number or as text; absent or empty, it tells none.
pub fn count(told: &Loose<'_>) -> Result<Option<usize>, Failure> {
    let number = match told {
        Loose::Absent | Loose::Null => return Ok(None),
        Loose::Text(text) if text.trim().is_empty() => return Ok(None),
        Loose::Text(text) => text.trim().parse().ok(),
        Loose::Whole(number) => usize::try_from(*number).ok(),
        Loose::Other => None,
    };
    number.map(Some).ok_or_else(|| Failure::new(Fault::BadAnswer, "a list with an odd count"))
}

/// The failure of a list that moves whenever it is read.
pub fn moving(what: &str) -> Failure {
    Failure::new(Fault::BadAnswer, format!("the list of {what} does not agree with its own count, or moves"))
}

/// The failure of a list that is too long.
pub fn too_much(what: &str) -> Failure {
    let message = format!("the list of {what} is longer than {IDS_MAX} ids or {PAGES_MAX} pages");
    Failure::new(Fault::BadAnswer, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these pages, each with the provider's count.
    fn after(pages: &[(std::ops::Range<u32>, Option<usize>)]) -> Next {
        let mut reading = Reading::default();
        let mut next = Next::Page(1);
        for (ids, total) in pages {
            assert!(matches!(next, Next::Page(_)), "it ended before its last page");
            let seems_last = ids.len() < 10;
            let ids = ids.clone().map(|number| format!("u{number}")).collect();
            next = reading.took(Page { ids, total: *total, seems_last });
        }
        next
    }

    #[test]
    fn a_list_is_whole_when_it_has_as_many_different_ids_as_the_provider_counts() {
        let told = Some(15);
        assert_eq!(after(&[(0..0, Some(0))]), Next::Whole);
        assert_eq!(after(&[(0..10, told)]), Next::Page(2));
        assert_eq!(after(&[(0..10, told), (10..15, told)]), Next::Whole);
        assert_eq!(
            after(&[(0..7, told), (7..12, told), (12..15, told)]),
            Next::Whole,
            "a short page is no end"
        );
        assert_eq!(after(&[(0..10, told), (9..14, told)]), Next::Again, "one came twice, one is missing");
        assert_eq!(after(&[(0..10, told), (10..14, told), (0..0, told)]), Next::Again, "it ends too soon");
        assert_eq!(after(&[(0..3, Some(2))]), Next::Again, "one came between count and list");
        assert_eq!(after(&[(0..10, told), (10..16, Some(16))]), Next::Again, "the count changed");
        assert_eq!(after(&[(0..10, told), (10..15, None)]), Next::Again, "it is not told any more");
    }

    #[test]
    fn without_a_count_what_seems_last_is_and_an_id_that_comes_twice_spoils_the_list() {
        assert_eq!(after(&[(0..0, None)]), Next::Whole);
        assert_eq!(after(&[(0..10, None)]), Next::Page(2));
        assert_eq!(after(&[(0..10, None), (10..17, None)]), Next::Whole);
        assert_eq!(after(&[(0..10, None), (10..20, None), (0..0, None)]), Next::Whole);
        assert_eq!(after(&[(0..10, None), (9..17, None)]), Next::Again);
    }

    #[test]
    fn a_list_has_an_end() {
        assert_eq!(after(&[(0..10, Some(IDS_MAX + 1))]), Next::TooMuch);
        let mut reading = Reading { pages: PAGES_MAX - 1, total: Some(5), ..Reading::default() };
        let page = Page { ids: vec!["u".into()], total: Some(5), seems_last: false };
        assert_eq!(reading.took(page), Next::TooMuch);
    }
}
