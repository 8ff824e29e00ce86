//! A page in pieces: bounded, and unchanged by what happens meanwhile.

use super::*;

#[test]
fn pieces_are_bounded_never_empty_and_the_same_page_whatever_their_number() {
    let store = users(5000);
    let rows: Vec<_> = (0..5000).map(|n| (row(0, n), Ok(Seen::online()))).collect();
    store.answered(at(0), &rows);
    for format in [Format::Text, Format::OpenMetrics] {
        let pieces = pieces(Page::new(store.snapshot(), at(1), own(), format));
        assert!(pieces.len() > 20);
        for piece in &pieces {
            assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES, "{}", piece.len());
            assert!(piece.capacity() <= PIECE_BYTES, "a piece grew to {}", piece.capacity());
            assert_eq!(piece.last(), Some(&b'\n'));
        }
        let all_but_last = &pieces[..pieces.len() - 1];
        assert!(all_but_last.iter().all(|piece| piece.len() > PIECE_BYTES / 2));
        let whole = String::from_utf8(pieces.concat()).expect("UTF-8");
        // Five families have a series for each target that is online, and two for its start.
        assert_eq!(whole.lines().filter(|l| l.contains(",target=\"")).count(), 5000 * 12);
    }
}

#[test]
fn a_buffer_that_is_used_again_does_not_grow_with_the_number_of_targets() {
    let store = users(50_000);
    let mut page = Page::new(store.snapshot(), at(1), own(), Format::Text);
    let mut out = Vec::with_capacity(PIECE_BYTES);
    let mut pieces = 1;
    while page.next_piece(&mut out) {
        pieces += 1;
        out.clear();
    }
    assert!(pieces > 100);
    assert_eq!(out.capacity(), PIECE_BYTES);
}

#[test]
fn a_page_appends_to_what_is_there() {
    let store = users(3);
    let mut out = b"before\n".to_vec();
    assert!(!Page::new(store.snapshot(), at(1), Vec::new(), Format::Text).next_piece(&mut out));
    assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("before\n{}", page(&store, at(1))));
}

#[test]
fn the_page_under_way_is_not_changed_by_later_answers() {
    let store = users(3000);
    let snapshot = store.snapshot();
    let expected = text(Page::new(Arc::clone(&snapshot), at(1), Vec::new(), Format::Text));
    let mut page = Page::new(snapshot, at(1), Vec::new(), Format::Text);
    let mut out = Vec::new();
    let mut round = 0;
    while page.next_piece(&mut out) {
        round += 1;
        let rows: Vec<_> = (0..3000).map(|n| (row(0, n), Ok(Seen::online()))).collect();
        store.answered(at(round), &rows);
    }
    assert!(round > 5);
    assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
}
