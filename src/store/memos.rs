//! Small things that other parts of the program want to outlive the process, by name.
//!
//! They are saved with the rows, in the same transaction, and so are as new as those. Their number and length are bounded.
//! What it deliberately does not do: it does not know what a memo says, and gives no meaning to a name.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Memos that are kept at the same time: a few for each account or source, of which there are some dozens.
pub const MEMOS_MAX: usize = 1000;

/// Bytes of a memo at most. With [`MEMOS_MAX`] it bounds what memos add to memory and file, to 64 MB.
pub const MEMO_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a name at most.
pub const MEMO_NAME_MAX: usize = 256;

/// All memos at one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Memos {
    by_name: BTreeMap<Arc<str>, Memo>,
}

#[derive(Debug, Clone)]
struct Memo {
    /// Its place in the file.
    slot: u32,
    bytes: Arc<[u8]>,
    /// Whether this process asked for it; one that nobody asks for any more makes room when there is none.
    used: bool,
}

impl Memos {
    /// The memo of this name with its place in the file.
    pub(super) fn get(&self, name: &str) -> Option<(u32, &Arc<[u8]>)> {
        self.by_name.get(name).map(|memo| (memo.slot, &memo.bytes))
    }

    /// All of them: place in the file, name, bytes.
    pub(super) fn by_slot(&self) -> impl Iterator<Item = (u32, &str, &Arc<[u8]>)> {
        self.by_name.iter().map(|(name, memo)| (memo.slot, &**name, &memo.bytes))
    }

    /// Whether this process asked for it already; so it is when there is none.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.by_name.get(name).is_none_or(|memo| memo.used)
    }

    /// Books that somebody asked for it.
    pub(super) fn used(&mut self, name: &str) {
        if let Some(memo) = self.by_name.get_mut(name) {
            memo.used = true;
        }
    }

    /// Keeps these bytes under this name, in place of what was there; without bytes nothing is kept. False when it is too
    /// long or there are too many.
    pub(super) fn keep(&mut self, name: &str, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            self.by_name.remove(name);
            return true;
        }
        if bytes.len() > MEMO_BYTES_MAX || name.len() > MEMO_NAME_MAX {
            return false;
        }
        if let Some(memo) = self.by_name.get_mut(name) {
            (memo.bytes, memo.used) = (bytes.into(), true);
            return true;
        }
        if self.by_name.len() >= MEMOS_MAX {
            let unused = self.by_name.iter().find(|(_, memo)| !memo.used).map(|(name, _)| name.clone());
            let Some(unused) = unused else { return false };
            self.by_name.remove(&unused);
        }
        let slot = self.free_slot();
        self.by_name.insert(name.into(), Memo { slot, bytes: bytes.into(), used: true });
        true
    }

    /// Takes over a memo of an earlier process; false when that is more than could have been kept.
    pub(super) fn restore(&mut self, slot: u32, name: &str, bytes: &[u8]) -> bool {
        let fits = self.by_name.len() < MEMOS_MAX
            && bytes.len() <= MEMO_BYTES_MAX
            && name.len() <= MEMO_NAME_MAX
            && !self.by_name.contains_key(name);
        if fits {
            self.by_name.insert(name.into(), Memo { slot, bytes: bytes.into(), used: false });
        }
        fits
    }

    fn free_slot(&self) -> u32 {
        let mut taken: Vec<u32> = self.by_name.values().map(|memo| memo.slot).collect();
        taken.sort_unstable();
        let free = (0..).zip(&taken).find(|(slot, taken)| slot != *taken).map(|(slot, _)| slot);
        free.unwrap_or_else(|| u32::try_from(taken.len()).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memos_are_replaced_and_forgotten_and_have_limits() {
        let mut memos = Memos::default();
        assert!(memos.keep("a", b"1") && memos.keep("b", b"2") && memos.keep("a", b"3"));
        assert_eq!(memos.get("a").map(|(slot, bytes)| (slot, bytes.to_vec())), Some((0, b"3".to_vec())));
        assert!(memos.keep("a", b""));
        assert_eq!(memos.get("a"), None);
        assert!(memos.keep("c", b"4"));
        assert_eq!(memos.get("c").map(|(slot, _)| slot), Some(0), "a free place is taken again");
        assert!(!memos.keep("long", &vec![0; MEMO_BYTES_MAX + 1]));
        assert!(!memos.keep(&"n".repeat(MEMO_NAME_MAX + 1), b"1"));
    }

    #[test]
    fn a_memo_that_nobody_asked_for_makes_room_and_no_other_does() {
        let mut memos = Memos::default();
        assert!(memos.restore(0, "of old", b"1") && memos.restore(1, "asked for", b"2"));
        memos.used("asked for");
        for n in 2..MEMOS_MAX {
            assert!(memos.keep(&format!("{n}"), b"3"));
        }
        assert!(memos.keep("one more", b"4"));
        assert_eq!((memos.get("of old"), memos.get("asked for").is_some()), (None, true));
        assert!(!memos.keep("too many", b"5"));
        assert!(memos.keep("asked for", b"6"), "what is there can change");
    }
}
