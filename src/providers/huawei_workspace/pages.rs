//! How a list is paged through to its end: by the number of rows that came, not by the number asked for, since a server
//! may cap the page; and with a second look at the first page when the list moved meanwhile.
//!
//! Pure; it neither asks nor keeps rows.

/// Where a pass stands.
#[derive(Debug, Default)]
pub struct Pager {
    offset: u64,
    total: Option<u64>,
    pages: u32,
    moved: bool,
    shrank: bool,
    looking_again: bool,
}

/// What comes after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The page that begins at this row.
    Page(u64),
    /// Nothing: the list is read to its end.
    Done,
}

impl Pager {
    /// Books a page with so many rows, of a list that has `total` rows by the provider's count.
    pub fn took(&mut self, rows: usize, total: Option<u64>) -> Next {
        self.pages += 1;
        if let (Some(before), Some(now)) = (self.total, total) {
            self.moved |= before != now;
            self.shrank |= now < before;
        }
        self.total = total.or(self.total);
        if self.looking_again {
            return Next::Done;
        }
        self.offset += rows as u64;
        let at_end = rows == 0 || self.total.is_some_and(|total| self.offset >= total);
        if !at_end {
            return Next::Page(self.offset);
        }
        self.looking_again = self.moved;
        if self.looking_again { Next::Page(0) } else { Next::Done }
    }

    /// The provider's last count.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Pages so far.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// Whether rows went away between pages, so that others may have slipped onto pages already read.
    pub fn shrank(&self) -> bool {
        self.shrank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_page_is_not_the_end_and_an_empty_one_is() {
        let mut pager = Pager::default();
        assert_eq!(pager.took(100, Some(250)), Next::Page(100));
        assert_eq!(pager.took(70, Some(250)), Next::Page(170));
        assert_eq!(pager.took(80, Some(250)), Next::Done);
        let mut pager = Pager::default();
        assert_eq!(pager.took(100, Some(250)), Next::Page(100));
        assert_eq!(pager.took(0, Some(250)), Next::Done);
        let mut pager = Pager::default();
        assert_eq!(pager.took(100, None), Next::Page(100));
        assert_eq!(pager.took(0, None), Next::Done);
    }

    #[test]
    fn a_list_that_moved_is_looked_at_again_once() {
        let mut pager = Pager::default();
        assert_eq!(pager.took(100, Some(150)), Next::Page(100));
        assert_eq!(pager.took(51, Some(151)), Next::Page(0));
        assert_eq!(pager.took(100, Some(152)), Next::Done);
        assert!(!pager.shrank());
        assert_eq!((pager.total(), pager.pages()), (Some(152), 3));
    }

    #[test]
    fn a_list_that_shrank_says_so() {
        let mut pager = Pager::default();
        pager.took(100, Some(150));
        pager.took(49, Some(149));
        assert!(pager.shrank());
    }
}
