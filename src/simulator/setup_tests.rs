use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::super::{Options, Scenario, fake};
use super::*;
use crate::domain::{Moment, Tick};
use crate::providers::ProviderKind;

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn config(targets: usize) -> (Core, Value) {
    let kinds: Vec<&'static dyn ProviderKind> = vec![
        fake::kind("openim", "chat"),
        fake::kind("alibaba_mqtt", "ali"),
        fake::kind("alibaba_smartag", "ali"),
    ];
    let scenario = Scenario { default_targets: targets, populations: 2, ..Scenario::default() };
    let options = Options { scenario, ..Options::default() };
    let world = options.scenario.world(&kinds, 1_780_000_000_000);
    let core = Core::new(&options, &kinds, Arc::new(world), Moment { tick: Tick::ZERO, unix_ms: 0 });
    let endpoints = ["http://127.0.0.1:1001".to_owned(), "http://127.0.0.1:1002".to_owned()];
    let setup = Setup { requests_per_second: Some(12.5), ..Setup::default() };
    let text = config_yaml(&core, &endpoints, &setup);
    let value = yaml(&text);
    (core, value)
}

#[test]
fn every_population_has_a_source_with_all_its_targets() {
    let (core, config) = config(30);
    assert_eq!(config["sources"].as_object().unwrap().len(), 5);
    let mut numbers = std::collections::HashMap::new();
    for population in &core.world().populations {
        let number = numbers.entry(population.provider).and_modify(|n| *n += 1).or_insert(1);
        let source = &config["sources"][source_name(population.provider, *number)];
        assert_eq!(source["provider"], population.provider);
        assert_eq!(source["scope"], population.scope.as_str());
        let ids: Vec<&str> = source["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target.as_str().or_else(|| target["id"].as_str()).unwrap())
            .collect();
        let expected: Vec<&str> = population.subjects.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids, expected);
        assert!(!config["accounts"][source["account"].as_str().unwrap()].is_null());
    }
}

#[test]
fn an_account_stands_for_a_cloud_with_its_endpoint_and_keys() {
    let (_, config) = config(1);
    let account = &config["accounts"]["simulated_ali"];
    assert_eq!(config["accounts"].as_object().unwrap().len(), 2);
    assert_eq!(account["cloud"], "ali");
    assert_eq!(account["endpoint"], "http://127.0.0.1:1002");
    assert_eq!(account["token_endpoint"], "http://127.0.0.1:1002/token");
    assert_eq!(account["requests_per_second"], 12.5);
    assert_eq!(config["defaults"]["interval"], "5s");
    let first = &config["sources"]["openim"]["targets"][0];
    assert_eq!((&first["name"], &first["labels"]["site"]), (&Value::from("Nr. 1"), &Value::from("Berlin")));
}

#[test]
fn a_world_without_targets_is_still_yaml() {
    assert_eq!(config(0).1["sources"]["openim"]["targets"], Value::Array(vec![]));
}

proptest! {
    #[test]
    fn a_quoted_text_reads_as_itself(text in any::<String>(), odd in "[\\x00-\\x20\"'\\\\:#{}\u{85}\u{2028}\u{feff}上]{0,12}") {
        for text in [text, odd] {
            let list: Vec<String> = serde_saphyr::from_str(&format!("- {}\n", quoted(&text))).unwrap();
            prop_assert_eq!(list, [text]);
        }
    }
}
