//! Who was found by an earlier process: the targets that a state file knows of a source with `discover`, and that neither
//! configuration nor files name, go on as the last good list until the first listing says otherwise.
//!
//! They are chosen as a listing's are, by id alone, since names are not kept. What is known of them is put back with
//! everybody's rows; here it is only said who they are.

use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use super::watching::Finds;
use crate::domain::{Moment, TargetLabels};
use crate::providers::Found;
use crate::providers::configure::{Configuration, Source};
use crate::store::Earlier;

/// A state file, and whom it adds to the sources.
pub struct Recalled {
    pub(super) file: Earlier,
    /// By the sources' numbers.
    pub(super) finds: Vec<(u16, Finds)>,
}

impl Recalled {
    /// Opens a state file and adds to the configuration's sources whom it recalls. The error says why there can be no file
    /// at this place.
    pub fn open(path: &Path, configuration: &mut Configuration, now: Moment) -> Result<Self, String> {
        let mut file = Earlier::open(path, now)?;
        let mut finds = Vec::new();
        let discovers =
            |source: &&mut Source| source.lists.as_ref().is_some_and(|lists| lists.discover.is_some());
        let mut sources: Vec<&mut Source> = configuration.sources.iter_mut().filter(discovers).collect();
        if !sources.is_empty() {
            let name = |source: &&mut Source| (source.kind.name(), source.settings.name.clone());
            let names: Vec<(&str, String)> = sources.iter().map(name).collect();
            let known;
            (file, known) = file.ids(&names, now)?;
            let sources = sources.iter_mut().zip(known);
            finds.extend(
                sources.filter_map(|(source, ids)| Some((source.roster.source(), recall(source, ids)?))),
            );
        }
        Ok(Self { file, finds })
    }
}

/// Adds to a source those of these ids that it would find. None where there are none.
fn recall(source: &mut Source, ids: Vec<String>) -> Option<Finds> {
    let discover = source.lists.as_ref()?.discover.as_ref()?;
    let is_new = |id: &String| source.roster.find(id).is_none();
    let found: Vec<Found> = ids.into_iter().filter(is_new).map(|id| Found { id, name: None }).collect();
    if found.is_empty() {
        return None;
    }
    let name = &source.settings.name;
    match Finds::recalled(found, discover, &*source.provider) {
        Ok(finds) => {
            let roster = Arc::make_mut(&mut source.roster);
            for found in finds.all() {
                roster.push(&found.id, TargetLabels::default());
            }
            info!(source = %name, targets = finds.all().len(), "who was found before the restart goes on");
            Some(finds)
        }
        Err(reason) => {
            warn!(source = %name, reason, "of those who were found before the restart nobody goes on");
            None
        }
    }
}
