//! The bytes of an answer: a short text, or a page made while it is read.
//!
//! A page is never held as a whole: a piece is made when the socket has room for it. Reading as fast as we write must not
//! take the thread from everybody else, so after a few pieces the others get their turn.

use std::convert::Infallible;
use std::io::Write;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::guard::Answering;
use super::{Control, Pieces};
use crate::exposition::{Encoding, PIECE_BYTES};

/// Pieces made in one turn: 256 KiB of text, about a millisecond with gzip.
const PIECES_PER_TURN: u32 = 4;

/// The content of an answer.
pub(super) enum Content {
    /// A text; none when it has been taken.
    Text(Option<Bytes>),
    /// A page.
    Page(Box<PageContent>),
}

/// A page under way.
pub(super) struct PageContent {
    pieces: Box<dyn Pieces>,
    /// Where the text goes first when it is compressed, and the compressor.
    gzip: Option<(Vec<u8>, GzEncoder<Vec<u8>>)>,
    state: State,
    /// Pieces made since others had their turn.
    made: u32,
    text_bytes: u64,
    control: Arc<dyn Control>,
    _slot: Option<OwnedSemaphorePermit>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Writing,
    Ended,
}

impl PageContent {
    /// A page that is told to `control` when it has been written, and keeps its slot until then.
    pub(super) fn new(
        pieces: Box<dyn Pieces>,
        encoding: Encoding,
        control: Arc<dyn Control>,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Self {
        // Level 1: on these repetitive lines the higher ones take three times as long to save a tenth.
        let gzip = (encoding == Encoding::Gzip)
            .then(|| (Vec::new(), GzEncoder::new(Vec::new(), Compression::fast())));
        Self { pieces, gzip, state: State::Writing, made: 0, text_bytes: 0, control, _slot: slot }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while self.state == State::Writing {
            if self.made == PIECES_PER_TURN {
                self.made = 0;
                // Waking ourselves would queue us before the runtime looks at its sockets again, which it does between
                // some sixty such turns only. Its own way to yield looks first.
                if pin!(tokio::task::yield_now()).poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            self.made += 1;
            let bytes = self.next();
            // The compressor may keep a piece to itself at first.
            if !bytes.is_empty() {
                return Poll::Ready(Some(bytes));
            }
        }
        Poll::Ready(None)
    }

    fn next(&mut self) -> Bytes {
        let (more, length, bytes) = match &mut self.gzip {
            None => {
                let mut text = Vec::with_capacity(PIECE_BYTES);
                let more = self.pieces.next_piece(&mut text);
                (more, text.len(), text)
            }
            Some((text, encoder)) => {
                text.clear();
                let more = self.pieces.next_piece(text);
                let packed =
                    encoder.write_all(text).and_then(|()| if more { Ok(()) } else { encoder.try_finish() });
                packed.expect("writing into memory does not fail");
                (more, text.len(), std::mem::take(encoder.get_mut()))
            }
        };
        self.text_bytes += length as u64;
        if !more {
            self.state = State::Ended;
            self.control.page_written(self.text_bytes);
        }
        bytes.into()
    }
}

/// An answer's body. The connection counts as busy until it is dropped.
pub(super) struct AnswerBody {
    content: Content,
    _answering: Answering,
}

impl AnswerBody {
    pub(super) fn new(content: Content, answering: Answering) -> Self {
        Self { content, _answering: answering }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.content {
            Content::Text(text) => Poll::Ready(text.take()),
            Content::Page(page) => page.poll(cx),
        };
        bytes.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Content::Page(page) => page.state == State::Ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Content::Page(_) => SizeHint::default(),
        }
    }
}
