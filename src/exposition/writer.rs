//! A page in pieces: family by family, straight from the rows, so that memory does not grow with the number of targets.
//!
//! Each source's part of the labels is escaped once a page; per target only the id and the value are written. A target
//! is written with the same bytes every time, since servers find a series by the bytes of its labels.
//!
//! What it deliberately does not do: no float is formatted and nothing allocated per target, no timestamp is put on a
//! sample, and a family without series still has its HELP and TYPE. The sample lines are the same in
//! both formats; only the lines about a family differ.

use std::fmt;
use std::sync::Arc;

use prometheus::proto::MetricFamily;

use super::Format;
use super::families::{FAMILIES, Family, MetricKind, Value};
use super::own::Own;
use super::text::{self, Number};
use crate::domain::presence::Presence;
use crate::domain::{Moment, UnknownReason, View};
use crate::store::{Snapshot, SourceSnapshot};

/// The size of a piece: what stays inside a core's cache and is worth one write to a socket.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Room left in a piece for its last line. A longer line makes its piece longer by as much.
const LINE_BYTES: usize = 2 * 1024;

/// One page, written piece by piece.
pub struct Page {
    snapshot: Arc<Snapshot>,
    now: Moment,
    format: Format,
    heads: Vec<Head>,
    filtered: bool,
    at: Cursor,
    /// What all lines of the current family and source begin with: name and source's labels.
    line: Vec<u8>,
    own: Own,
}

/// The labels of a source, escaped once.
struct Head {
    wanted: bool,
    /// `{source="…",kind="…",target="`
    target: Vec<u8>,
    /// `{source="…",provider="…",kind="…"`
    source: Vec<u8>,
    /// `",provider="…",evidence="…"`, which goes on after a target's id.
    info: Vec<u8>,
}

/// What is to be written next.
#[derive(Default)]
struct Cursor {
    family: usize,
    begun: bool,
    source: usize,
    row: u32,
}

impl Page {
    /// A page of all sources as of `now`, followed by the families `own`; none are added to those given.
    pub fn new(snapshot: Arc<Snapshot>, now: Moment, own: Vec<MetricFamily>, format: Format) -> Self {
        let heads = snapshot.sources.iter().map(Head::new).collect();
        let own = Own::new(own, format);
        Self { snapshot, now, format, heads, filtered: false, at: Cursor::default(), line: Vec::new(), own }
    }

    /// Restricts the page to the sources named: each call adds one to them, an unknown name adds none. To be called
    /// before the first piece.
    #[must_use]
    pub fn only_source(mut self, name: &str) -> Self {
        for (head, source) in self.heads.iter_mut().zip(&self.snapshot.sources) {
            head.wanted = (head.wanted && self.filtered) || *source.spec.name == *name;
        }
        self.filtered = true;
        self
    }

    /// Appends the next piece to `out`, never an empty one, and returns whether there is more after it.
    pub fn next_piece(&mut self, out: &mut Vec<u8>) -> bool {
        out.reserve(PIECE_BYTES);
        let full = out.len() + PIECE_BYTES - LINE_BYTES;
        while let Some(family) = FAMILIES.get(self.at.family) {
            if !self.family(family, out, full) {
                return true;
            }
            self.at = Cursor { family: self.at.family + 1, ..Cursor::default() };
        }
        let (heads, sources) = (&self.heads, &self.snapshot.sources);
        let wanted = |name: &str| {
            !self.filtered
                || heads.iter().zip(sources).any(|(head, source)| head.wanted && *source.spec.name == *name)
        };
        if !self.own.write(out, full, wanted) {
            return true;
        }
        if self.format == Format::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
        false
    }

    /// Goes on with a family; returns whether it is complete.
    fn family(&mut self, family: &Family, out: &mut Vec<u8>, full: usize) -> bool {
        if !self.at.begun {
            if out.len() >= full {
                return false;
            }
            header(out, family, self.format);
            self.at.begun = true;
        }
        let snapshot = Arc::clone(&self.snapshot);
        while let Some(source) = snapshot.sources.get(self.at.source) {
            if self.heads[self.at.source].wanted {
                if out.len() >= full {
                    return false;
                }
                if !self.source(family, source, out, full) {
                    return false;
                }
            }
            self.at.source += 1;
            self.at.row = 0;
        }
        true
    }

    /// Goes on with a source's part of a family; returns whether it is complete.
    fn source(&mut self, family: &Family, source: &SourceSnapshot, out: &mut Vec<u8>, full: usize) -> bool {
        let head = &self.heads[self.at.source];
        let per_target =
            matches!(family.value, Value::Target(_) | Value::Transitions(_) | Value::Reason | Value::Info);
        self.line.clear();
        self.line.extend_from_slice(family.name.as_bytes());
        self.line.extend_from_slice(if per_target { &head.target } else { &head.source });
        let rows = Rows { source, line: &self.line, now: self.now, full };
        match family.value {
            Value::Source(value) => {
                if let Some(number) = value(source) {
                    sample(out, &self.line, b"} ", number);
                }
                true
            }
            Value::States => {
                states(out, &self.line, source, self.now);
                true
            }
            Value::Platforms => {
                platforms(out, &self.line, source, self.now);
                true
            }
            Value::Target(value) => {
                let now_s = self.now.unix_seconds();
                let pick = |view: &View| value(view, now_s);
                rows.write(&mut self.at.row, out, pick, |out, _, number| {
                    out.extend_from_slice(b"\"} ");
                    number.write(out);
                })
            }
            Value::Transitions(value) => {
                let pick = |view: &View| Some(value(view));
                let line = &self.line;
                rows.write(&mut self.at.row, out, pick, |out, index, counts| {
                    out.extend_from_slice(b"\",to=\"online\"} ");
                    Number::Whole(counts.to_online.into()).write(out);
                    out.push(b'\n');
                    out.extend_from_slice(line);
                    text::label_value(out, source.roster.id(index));
                    out.extend_from_slice(b"\",to=\"offline\"} ");
                    Number::Whole(counts.to_offline.into()).write(out);
                })
            }
            Value::Reason => rows.write(&mut self.at.row, out, unknown, |out, _, reason| {
                out.extend_from_slice(b"\",reason=\"");
                out.extend_from_slice(reason.as_str().as_bytes());
                out.extend_from_slice(b"\"} 1");
            }),
            Value::Info => rows.write(
                &mut self.at.row,
                out,
                |_| Some(()),
                |out, index, ()| {
                    info(out, &head.info, source, index);
                },
            ),
        }
    }
}

/// The rows of one source under one family.
struct Rows<'a> {
    source: &'a SourceSnapshot,
    line: &'a [u8],
    now: Moment,
    full: usize,
}

impl Rows<'_> {
    /// Writes from row `next` on until the piece is full; returns whether all rows are done. A target from whose view
    /// `pick` takes nothing has no series; `rest` writes what follows the id.
    fn write<T>(
        &self,
        next: &mut u32,
        out: &mut Vec<u8>,
        pick: impl Fn(&View) -> Option<T>,
        rest: impl Fn(&mut Vec<u8>, u32, T),
    ) -> bool {
        loop {
            let rows = self.source.rows_from(*next);
            if rows.is_empty() {
                return true;
            }
            for state in rows {
                if out.len() >= self.full {
                    return false;
                }
                if let Some(value) = pick(&state.view(self.now, &self.source.spec.policy)) {
                    out.extend_from_slice(self.line);
                    text::label_value(out, self.source.roster.id(*next));
                    rest(out, *next, value);
                    out.push(b'\n');
                }
                *next += 1;
            }
        }
    }
}

impl Head {
    fn new(source: &SourceSnapshot) -> Self {
        let spec = &source.spec;
        let name = ("source", &*spec.name);
        let (provider, kind) = (("provider", spec.provider), ("kind", spec.kind.as_str()));
        let mut target = vec![b'{'];
        labels(&mut target, &[name, kind]);
        target.extend_from_slice(b",target=\"");
        let mut source = vec![b'{'];
        labels(&mut source, &[name, provider, kind]);
        let mut info = b"\",".to_vec();
        labels(&mut info, &[provider, ("evidence", spec.evidence.as_str())]);
        Self { wanted: true, target, source, info }
    }
}

/// HELP, TYPE and, where OpenMetrics wants it, UNIT.
fn header(out: &mut Vec<u8>, family: &Family, format: Format) {
    let unit = family.unit.unwrap_or_default();
    describe(out, format, family.name, family.help, family.kind, unit);
}

/// The lines before a family's samples. OpenMetrics names the family of a counter without `_total`, and
/// that of an info without `_info`.
pub(super) fn describe(
    out: &mut Vec<u8>,
    format: Format,
    name: &str,
    help: &str,
    kind: MetricKind,
    unit: &str,
) {
    let open = format == Format::OpenMetrics;
    let suffix = match kind {
        MetricKind::Counter if open => "_total",
        MetricKind::Info if open => "_info",
        _ => "",
    };
    let name = name.strip_suffix(suffix).unwrap_or(name);
    let mut line = |word: &str, write: &dyn Fn(&mut Vec<u8>)| {
        for part in ["# ", word, " ", name, " "] {
            out.extend_from_slice(part.as_bytes());
        }
        write(out);
        out.push(b'\n');
    };
    line("HELP", &|out| text::help(out, help, open));
    line("TYPE", &|out| out.extend_from_slice(kind.as_str(format).as_bytes()));
    if open && !unit.is_empty() {
        line("UNIT", &|out| out.extend_from_slice(unit.as_bytes()));
    }
}

fn unknown(view: &View) -> Option<UnknownReason> {
    match view.presence {
        Presence::Unknown(reason) => Some(reason),
        Presence::Online | Presence::Offline => None,
    }
}

fn sample(out: &mut Vec<u8>, line: &[u8], close: &[u8], number: Number) {
    out.extend_from_slice(line);
    out.extend_from_slice(close);
    number.write(out);
    out.push(b'\n');
}

fn states(out: &mut Vec<u8>, line: &[u8], source: &SourceSnapshot, now: Moment) {
    let counts = source.counts(now);
    for (close, n) in [
        (&b",state=\"online\"} "[..], counts.online),
        (b",state=\"offline\"} ", counts.offline),
        (b",state=\"unknown\"} ", counts.unknown),
    ] {
        sample(out, line, close, Number::Whole(n.into()));
    }
}

fn platforms(out: &mut Vec<u8>, line: &[u8], source: &SourceSnapshot, now: Moment) {
    for (platform, connections) in source.connections_by_platform(now).into_iter().flatten() {
        out.extend_from_slice(line);
        label(out, "platform", platform.as_str());
        sample(out, b"", b"} ", Number::Whole(connections));
    }
}

/// What follows a target's id on its info line. Configured labels are names that the configuration has checked.
fn info(out: &mut Vec<u8>, head: &[u8], source: &SourceSnapshot, index: u32) {
    out.extend_from_slice(head);
    if let Some(target) = source.roster.labels(index) {
        if let Some(name) = &target.name {
            label(out, "name", name);
        }
        for (name, value) in &target.labels {
            label(out, name, value);
        }
    }
    out.extend_from_slice(b"} 1");
}

/// A further label, after a comma.
pub(super) fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b',');
    labels(out, &[(name, value)]);
}

fn labels(out: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    for (n, (name, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        text::label_value(out, value);
        out.push(b'"');
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("now", &self.now).field("format", &self.format).finish_non_exhaustive()
    }
}
