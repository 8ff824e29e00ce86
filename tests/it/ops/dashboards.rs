//! `dashboards/`: the rules of Grafana's dashboard-linter, and a few of ours, on the JSON.
//!
//! Not here: whether the queries return anything (`live.rs`), and how Grafana draws them.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::{Expression, project, promql};

/// The schema that Grafana's own types have today; Grafana migrates older ones when it reads them.
const SCHEMA_VERSION: u64 = 42;
/// Grafana's grid is 24 columns wide.
const GRID_WIDTH: u64 = 24;
/// The units in use here; a typing error in a unit shows as text behind the value.
const UNITS: [&str; 5] = ["short", "s", "percentunit", "reqps", "bytes"];
/// The only range that is right at every zoom and scrape interval.
const RANGE: &str = "$__rate_interval";
/// A counter by itself is only meaningful inside one of these.
const RATES: [&str; 3] = ["rate", "irate", "increase"];

/// All dashboards with their paths.
pub fn all() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(project("dashboards")).expect("dashboards/ is there").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).expect("it can be read");
            let dashboard =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path.file_name().expect("it's a file").display().to_string(), dashboard));
        }
    }
    assert!(!found.is_empty(), "no dashboard in dashboards/");
    found
}

/// What panels and variables ask, variables unexpanded; `label_values(metric, label)` as the query behind it.
pub fn expressions(path: &str, dashboard: &Value) -> Vec<Expression> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in list(&panel["targets"]) {
            let place = format!("{path}: panel {}", text(&panel["title"]));
            found.push(Expression { place, promql: text(&target["expr"]).to_owned() });
        }
    }
    for variable in variables(dashboard, "query") {
        if let Some((metric, label)) = label_values(variable) {
            let place = format!("{path}: variable {}", text(&variable["name"]));
            found.push(Expression { place, promql: format!("count by ({label}) ({metric})") });
        }
    }
    found
}

/// Metric and label of a variable that asks `label_values(metric, label)`.
fn label_values(variable: &Value) -> Option<(&str, &str)> {
    let inside = text(&variable["query"]["query"]).strip_prefix("label_values(")?.strip_suffix(')')?;
    inside.rsplit_once(", ")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The panels that show something: all but the headings.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row")
}

fn variables<'a>(dashboard: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    list(&dashboard["templating"]["list"]).iter().filter(move |variable| variable["type"] == kind)
}

/// Collects what is wrong.
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, well: bool, fault: impl Into<String>) {
        if !well {
            self.0.push(fault.into());
        }
    }
}

/// All faults of a dashboard.
fn lint(dashboard: &Value) -> Vec<String> {
    let mut faults = Faults(Vec::new());
    lint_head(dashboard, &mut faults);
    lint_variables(dashboard, &mut faults);
    lint_grid(dashboard, &mut faults);
    for panel in panels(dashboard) {
        lint_panel(panel, &mut faults);
    }
    faults.0
}

fn lint_head(dashboard: &Value, faults: &mut Faults) {
    let uid = text(&dashboard["uid"]);
    faults.unless((1..=40).contains(&uid.len()), "uid is not fixed, or longer than 40 characters");
    faults.unless(
        dashboard["schemaVersion"] == SCHEMA_VERSION,
        format!("schemaVersion is not {SCHEMA_VERSION}"),
    );
    faults.unless(dashboard["editable"] == false, "editable: what is changed in Grafana would be lost");
    faults.unless(dashboard["__inputs"].is_null(), "__inputs: provisioning knows no inputs");
    faults.unless(dashboard["id"].is_null(), "id belongs to one Grafana");
    faults.unless(!text(&dashboard["title"]).is_empty(), "no title");
}

fn lint_variables(dashboard: &Value, faults: &mut Faults) {
    let source = variables(dashboard, "datasource").next().unwrap_or(&Value::Null);
    faults.unless(
        source["name"] == "datasource" && source["label"] == "Data source" && source["query"] == "prometheus",
        "no variable `datasource`, labelled Data source, for Prometheus",
    );
    for (name, label) in [("job", "Job"), ("instance", "Instance"), ("source", "Source")] {
        let well = variables(dashboard, "query").any(|variable| {
            variable["name"] == name
                && variable["label"] == label
                && variable["multi"] == true
                && variable["includeAll"] == true
                && variable["allValue"] == ".+"
        });
        faults.unless(well, format!("no variable `{name}`, labelled {label}, multi, with All as .+"));
    }
    for variable in variables(dashboard, "query") {
        let name = text(&variable["name"]);
        faults.unless(
            is_ours(&variable["datasource"]),
            format!("variable {name}: datasource is not ${{datasource}}"),
        );
        faults
            .unless(variable["refresh"] == 2, format!("variable {name}: not refreshed with the time range"));
        faults.unless(
            label_values(variable).is_some(),
            format!("variable {name}: not label_values(metric, label)"),
        );
        let same = variable["definition"] == variable["query"]["query"];
        faults.unless(same, format!("variable {name}: shows another query than it asks"));
    }
}

fn is_ours(datasource: &Value) -> bool {
    datasource["type"] == "prometheus" && datasource["uid"] == "${datasource}"
}

fn lint_grid(dashboard: &Value, faults: &mut Faults) {
    let all = list(&dashboard["panels"]);
    let ids: BTreeSet<u64> = all.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    faults.unless(ids.len() == all.len(), "panels share an id, or have none");
    let corners: Vec<[u64; 4]> = all
        .iter()
        .map(|panel| {
            let side = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_default();
            [side("x"), side("y"), side("x") + side("w"), side("y") + side("h")]
        })
        .collect();
    for (i, &[left, top, right, bottom]) in corners.iter().enumerate() {
        let title = text(&all[i]["title"]);
        faults
            .unless(left < right && top < bottom && right <= GRID_WIDTH, format!("{title}: not in the grid"));
        for (j, &[left2, top2, right2, bottom2]) in corners.iter().enumerate().skip(i + 1) {
            let apart = right <= left2 || right2 <= left || bottom <= top2 || bottom2 <= top;
            faults.unless(apart, format!("{title}: overlaps {}", text(&all[j]["title"])));
        }
    }
}

fn lint_panel(panel: &Value, faults: &mut Faults) {
    let title = text(&panel["title"]);
    faults.unless(!title.is_empty(), format!("panel {} has no title", panel["id"]));
    faults.unless(!text(&panel["description"]).is_empty(), format!("{title}: no description"));
    faults.unless(is_ours(&panel["datasource"]), format!("{title}: datasource is not ${{datasource}}"));
    let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
    faults.unless(UNITS.contains(&unit), format!("{title}: unit {unit:?}"));

    let targets = list(&panel["targets"]);
    let refs: BTreeSet<&str> = targets.iter().map(|target| text(&target["refId"])).collect();
    faults.unless(
        !targets.is_empty() && refs.len() == targets.len(),
        format!("{title}: no query, or two of one refId"),
    );
    for target in targets {
        faults.unless(
            is_ours(&target["datasource"]),
            format!("{title}: a query's datasource is not ${{datasource}}"),
        );
        let selectors = promql::selectors(text(&target["expr"]));
        faults.unless(!selectors.is_empty(), format!("{title}: a query selects nothing"));
        for selector in selectors {
            lint_selector(title, &selector, faults);
        }
    }
}

fn lint_selector(title: &str, selector: &promql::Selector, faults: &mut Faults) {
    let promql::Selector { name, matchers, range, function } = selector;
    for variable in ["job", "instance"] {
        let matcher = format!("{variable}=~\"${variable}\"");
        faults.unless(matchers.contains(&matcher), format!("{title}: {name} without {matcher}"));
    }
    faults.unless(range.is_empty() || range == RANGE, format!("{title}: {name} over {range}, not {RANGE}"));
    if name.ends_with("_total") || name.ends_with("_bucket") {
        faults.unless(RATES.contains(&function.as_str()), format!("{title}: {name} in no rate"));
    }
}

#[test]
fn dashboards_keep_to_the_rules_of_grafanas_linter() {
    for (path, dashboard) in all() {
        assert_eq!(lint(&dashboard), Vec::<String>::new(), "{path}");
    }
}

/// Each change breaks one rule, and the linter has to say so.
#[test]
fn the_linter_finds_each_fault() {
    let (_, good) = all().swap_remove(0);
    let variable = "/templating/list/1";
    let panel = "/panels/1";
    let rate =
        good["panels"].as_array().expect("panels").iter().position(|panel| panel["title"] == "API requests");
    let rate = format!("/panels/{}/targets/0/expr", rate.expect("the dashboard has a panel of rates"));
    let selected = "presence_exporter_api_requests_total{job=~\"$job\", instance=~\"$instance\"}";
    let cases: [(&str, Value, &str); 22] = [
        ("/uid", "x".repeat(41).into(), "uid"),
        ("/schemaVersion", 39.into(), "schemaVersion"),
        ("/editable", true.into(), "editable"),
        ("/title", "".into(), "no title"),
        ("/templating/list/0/name", "ds".into(), "`datasource`"),
        (&format!("{variable}/allValue"), "".into(), "`job`"),
        (&format!("{variable}/refresh"), 1.into(), "not refreshed"),
        (&format!("{variable}/datasource/uid"), "abc".into(), "variable job: datasource"),
        (&format!("{variable}/query/query"), "up".into(), "label_values"),
        (&format!("{variable}/definition"), "up".into(), "shows another query"),
        (&format!("{panel}/id"), good["panels"][2]["id"].clone(), "share an id"),
        (&format!("{panel}/gridPos/w"), 25.into(), "not in the grid"),
        (&format!("{panel}/gridPos/x"), 1.into(), "overlaps"),
        (&format!("{panel}/title"), "".into(), "has no title"),
        (&format!("{panel}/description"), "".into(), "no description"),
        (&format!("{panel}/datasource/uid"), "abc".into(), "datasource"),
        (&format!("{panel}/fieldConfig/defaults/unit"), "seconds".into(), "unit"),
        (&format!("{panel}/targets"), Value::Array(Vec::new()), "no query"),
        (&rate, format!("sum({selected})").into(), "in no rate"),
        (&rate, format!("rate({selected}[5m])").into(), "over 5m"),
        (&rate, "process_open_fds{instance=~\"$instance\"}".into(), "without job"),
        (&rate, "vector(1)".into(), "selects nothing"),
    ];
    for (place, value, fault) in cases {
        let mut bad = good.clone();
        *bad.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value;
        let found = lint(&bad);
        assert!(found.iter().any(|found| found.contains(fault)), "{place}: {fault} is not among {found:?}");
    }
}
