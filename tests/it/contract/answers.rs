//! Answers that are good and other than ours: with new fields, with nothing in them, with a row that makes no sense.

use presence_exporter::domain::Fault;
use presence_exporter::domain::presence::Presence;
use presence_exporter::providers::REGISTRY;
use serde_json::{Value, json};

use super::But;
use crate::stage::{Script, meddled, reason};

/// Adds fields that nobody knows to every object, but for those that are keyed by data.
fn add_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(add_fields);
            let keyed_by_id = fields.keys().any(|key| key.bytes().all(|byte| byte.is_ascii_digit()));
            if !keyed_by_id {
                for (name, what) in
                    [("aNewField", json!({"a": [1, null]})), ("another", json!("x")), ("Third", json!(1.5))]
                {
                    fields.insert(name.into(), what);
                }
            }
        }
        Value::Array(rows) => rows.iter_mut().for_each(add_fields),
        _ => {}
    }
}

#[test]
fn a_field_that_nobody_knows_does_no_harm() {
    Script { kinds: meddled(REGISTRY, add_fields), ..Script::default() }.play().wait_for_truth();
}

/// Empties every list.
fn empty_lists(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(empty_lists),
        Value::Array(rows) => rows.clear(),
        _ => {}
    }
}

/// What follows from lists with nothing in them. `None`: everybody is offline, as the contract says.
const EMPTY: But<Option<Fault>> = But {
    all: Some(Fault::BadAnswer),
    but: &[("alibaba_smartag", None, "a user whose own list of clients is empty has none")],
};

#[test]
fn an_empty_list_says_offline_only_where_the_contract_says_so() {
    let nobody = |now_ms| {
        let mut world = crate::stage::still_world(REGISTRY, 10, now_ms);
        // Where the empty list is the truth, it is to be believed; elsewhere it is to be doubted all the same.
        for population in &mut world.populations {
            population.subjects.iter_mut().for_each(|subject| subject.sessions.clear());
        }
        world
    };
    let stage =
        Script { kinds: meddled(REGISTRY, empty_lists), world: Box::new(nobody), ..Script::default() }.play();
    for (source, population) in stage.sources() {
        // An object by user id, and no list at all.
        if population.provider == "volcengine_rtc" {
            stage.wait_for_truth_of(&[&source], stage.now());
            continue;
        }
        match EMPTY.of(population.provider) {
            Some(fault) => stage.wait_for_unknown(&source, reason(fault)),
            None => stage.wait_for_truth_of(&[&source], stage.now()),
        }
    }
}

/// Spoils the first row of every longer list.
fn spoil_first_row(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(spoil_first_row),
        Value::Array(rows) if rows.len() > 2 => rows[0] = json!(["no", "row"]),
        _ => {}
    }
}

#[test]
fn a_row_that_makes_no_sense_costs_at_most_its_own_target() {
    let stage = Script { kinds: meddled(REGISTRY, spoil_first_row), ..Script::default() }.play();
    for (source, _) in stage.sources() {
        stage.wait(&format!("{source} but for one row"), || {
            let views = stage.views(&source);
            let unknown =
                views.iter().filter(|(_, view)| matches!(view.presence, Presence::Unknown(_))).count();
            if unknown <= 1 { Ok(()) } else { Err(format!("{source}: {:?}", stage.counts(&source))) }
        });
    }
}
