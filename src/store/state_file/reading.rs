//! What the pieces of a file say of the sources that are configured, wherever those stand by now.
//!
//! Targets are known by source (provider and name) and id. What does not fit is damage; what is of a target that is not
//! configured any more falls away.

use hashbrown::HashMap;

use super::Broken;
use super::pieces::{KNOWN, ONLINE, PIECE_ROWS, ROW_BYTES, SETTLED_ONLINE, kind, of_key};
use crate::domain::{ConnKey, Saved, State};
use crate::store::first_seen::KeptStay;
use crate::store::memos::Memos;
use crate::store::{Snapshot, SourceSnapshot};

/// What a file says.
#[derive(Default)]
pub(in crate::store) struct Found {
    /// By the configured sources' places.
    pub(in crate::store) sources: Vec<FoundSource>,
    pub(in crate::store) memos: Memos,
    /// Whether the file has just these targets in just these places, so that it can go on.
    pub(in crate::store) in_place: bool,
}

/// What is known of a configured source.
#[derive(Default)]
pub(in crate::store) struct FoundSource {
    pub(in crate::store) log_since_ms: Option<i64>,
    /// By the target's place; empty when nothing is known of any.
    pub(in crate::store) rows: Vec<Option<State>>,
    /// By the target's place.
    pub(in crate::store) stays: HashMap<u32, KeptStay>,
}

/// Takes in one piece after the other.
pub(super) struct Reading<'a> {
    configured: &'a Snapshot,
    now_s: u32,
    sources: Vec<Source>,
    found: Found,
}

/// Takes in one piece after the other, for the ids of some sources alone.
pub(super) struct Naming<'a> {
    /// Provider and name of each.
    wanted: &'a [(&'a str, String)],
    /// Where each source of the file stands among them.
    places: Vec<Option<usize>>,
    ids: Vec<Vec<String>>,
}

impl<'a> Naming<'a> {
    pub(super) fn new(wanted: &'a [(&'a str, String)]) -> Self {
        Self { wanted, places: Vec::new(), ids: vec![Vec::new(); wanted.len()] }
    }

    /// Takes in the next piece.
    pub(super) fn piece(&mut self, key: i64, bytes: &[u8]) -> Result<(), Broken> {
        let (kind, number, _) = of_key(key).ok_or_else(|| bad("has a piece of no known kind"))?;
        let mut bytes = Bytes(bytes);
        if kind == kind::SOURCE {
            let (provider, name) = (bytes.text()?, bytes.text()?);
            let is_it = |wanted: &(&str, String)| wanted.0 == provider && wanted.1 == name;
            self.places.push(self.wanted.iter().position(is_it));
        }
        if kind == kind::IDS
            && let Some(Some(place)) = self.places.get(number)
        {
            while !bytes.0.is_empty() {
                self.ids[*place].push(bytes.text()?.to_owned());
            }
        }
        Ok(())
    }

    /// The ids of each wanted source.
    pub(super) fn end(self) -> Vec<Vec<String>> {
        self.ids
    }
}

/// A source of the file.
struct Source {
    /// Its place in the configuration.
    place: Option<usize>,
    /// How many targets it has.
    targets: u32,
    /// Where each of them stands in the configuration.
    places: Vec<Option<u32>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(configured: &'a Snapshot, now_s: u32) -> Self {
        let sources = configured.sources.iter().map(|_| FoundSource::default()).collect();
        let found = Found { sources, memos: Memos::default(), in_place: true };
        Self { configured, now_s, sources: Vec::new(), found }
    }

    /// Takes in the next piece.
    pub(super) fn piece(&mut self, key: i64, bytes: &[u8]) -> Result<(), Broken> {
        let (kind, number, piece) = of_key(key).ok_or_else(|| bad("has a piece of no known kind"))?;
        let mut bytes = Bytes(bytes);
        match kind {
            kind::SOURCE => return self.source(number, bytes),
            kind::MEMO => {
                let name = bytes.text()?;
                let slot = u32::try_from(piece).unwrap_or(u32::MAX);
                let fits = self.found.memos.restore(slot, name, bytes.0);
                return if fits { Ok(()) } else { Err(bad("has a memo too many")) };
            }
            _ => {}
        }
        let source =
            self.sources.get_mut(number).ok_or_else(|| bad("names a source that it does not have"))?;
        if kind == kind::IDS {
            return source.ids(piece, bytes, self.configured, &mut self.found.in_place);
        }
        let first = piece * PIECE_ROWS;
        let places = source.places.get(first..).unwrap_or_default();
        let places = &places[..places.len().min(PIECE_ROWS)];
        let Some(place) = source.place else { return Ok(()) };
        let (configured, found) = (&self.configured.sources[place], &mut self.found.sources[place]);
        match kind {
            kind::ROWS => {
                if bytes.0.len() != places.len() * ROW_BYTES {
                    return Err(bad("has rows of more or fewer targets than it names"));
                }
                found.rows.resize(configured.roster.len() as usize, None);
                for place in places {
                    let saved = bytes.row()?;
                    if let (Some(index), Some(saved)) = (place, saved)
                        && let Some(row) = found.rows.get_mut(*index as usize)
                    {
                        *row = Some(State::restored(&saved, self.now_s));
                    }
                }
            }
            kind::STAYS => {
                while !bytes.0.is_empty() {
                    let (part, stay) = bytes.stay()?;
                    let place = places.get(part).ok_or_else(|| bad("names a target too many"))?;
                    if let Some(index) = place {
                        found.stays.insert(*index, stay);
                    }
                }
            }
            _ => return Err(bad("has a piece of no known kind")),
        }
        Ok(())
    }

    fn source(&mut self, number: usize, mut bytes: Bytes<'_>) -> Result<(), Broken> {
        let (provider, name) = (bytes.text()?, bytes.text()?);
        let targets = bytes.number()?;
        let log_since_ms = Some(i64::from_le_bytes(bytes.array()?)).filter(|since| *since != i64::MAX);
        if number != self.sources.len() {
            return Err(bad("has its sources in no order"));
        }
        let is_it = |source: &SourceSnapshot| source.spec.provider == provider && *source.spec.name == *name;
        let place = self.configured.sources.iter().position(is_it);
        self.found.in_place &= place == Some(number);
        if let Some(place) = place {
            self.found.sources[place].log_since_ms = log_since_ms;
        }
        self.sources.push(Source { place, targets, places: Vec::new() });
        Ok(())
    }

    /// What was found of each configured source.
    pub(super) fn end(mut self) -> Result<Found, Broken> {
        if self.sources.iter().any(|source| source.places.len() != source.targets as usize) {
            return Err(bad("has more or fewer ids than targets"));
        }
        let targets =
            |(source, configured): (&Source, &SourceSnapshot)| source.targets == configured.roster.len();
        self.found.in_place &= self.sources.len() == self.configured.sources.len()
            && self.sources.iter().zip(&self.configured.sources).all(targets);
        Ok(self.found)
    }
}

impl Source {
    fn ids(
        &mut self,
        piece: usize,
        mut bytes: Bytes<'_>,
        configured: &Snapshot,
        in_place: &mut bool,
    ) -> Result<(), Broken> {
        if self.places.len() != piece * PIECE_ROWS {
            return Err(bad("has its ids in no order"));
        }
        let roster = self.place.map(|place| &configured.sources[place].roster);
        while !bytes.0.is_empty() {
            let id = bytes.text()?;
            let index = roster.and_then(|roster| roster.find(id));
            *in_place &= index.is_some_and(|index| index as usize == self.places.len());
            self.places.push(index);
        }
        if self.places.len() > (piece + 1) * PIECE_ROWS {
            Err(bad("has too many ids in a piece"))
        } else {
            Ok(())
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) =
            self.0.split_first_chunk().ok_or_else(|| bad("has a piece that ends too soon"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u32, Broken> {
        self.array().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, Broken> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) =
            self.0.split_at_checked(length).ok_or_else(|| bad("has a text that ends too soon"))?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| bad("has a text that is none"))
    }

    fn stay(&mut self) -> Result<(usize, KeptStay), Broken> {
        let [part, connections] = self.array()?;
        let mut stay = KeptStay { since_s: self.number()?, conns: Vec::new() };
        for _ in 0..connections {
            stay.conns.push((ConnKey(u64::from_le_bytes(self.array()?)), self.number()?));
        }
        Ok((usize::from(part), stay))
    }

    fn row(&mut self) -> Result<Option<Saved>, Broken> {
        let row: [u8; ROW_BYTES] = self.array()?;
        let (mut numbers, flags) = (Bytes(&row), row[ROW_BYTES - 1]);
        let saved = Saved {
            observed_s: numbers.number()?,
            last_seen_s: numbers.number()?,
            last_change_s: numbers.number()?,
            settles_s: numbers.number()?,
            observed_transitions: numbers.number()?,
            transitions: numbers.number()?,
            reconnects: numbers.number()?,
            online: flags & ONLINE != 0,
            settled_online: flags & SETTLED_ONLINE != 0,
        };
        Ok((flags & KNOWN != 0).then_some(saved))
    }
}

fn bad(what: &str) -> Broken {
    Broken::Damaged(format!("it {what}"))
}
