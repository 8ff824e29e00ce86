//! `demo`: what a newcomer sees first.

use std::net::TcpListener;

use super::program::{Running, get, page, program, providers, quiet_seed, run, sample};

/// Each row of the comparison that was printed last: the source, what is true, what the exporter says.
fn comparison(stdout: &str) -> Vec<(String, [u32; 2], [u32; 3])> {
    let table = stdout.rsplit_once("SOURCE ").expect("a comparison was printed").1;
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().expect("a row has a source").to_owned();
        let numbers: Vec<u32> = words.map(|word| word.parse().expect("counts are numbers")).collect();
        let [truly_online, truly_offline, online, offline, unknown] = numbers[..] else { panic!("{line}") };
        (name, [truly_online, truly_offline], [online, offline, unknown])
    };
    table.lines().skip(1).take_while(|line| !line.is_empty()).map(row).collect()
}

#[test]
fn a_demo_ends_by_itself_and_the_exporter_says_what_is_true() {
    let seed = quiet_seed(12, 8);
    let ended =
        run(&["demo", "--for=4s", "--seed", &seed, "--interval=1s", "--web.listen-address=127.0.0.1:0"]);
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    let rows = comparison(&ended.stdout);
    let names: Vec<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, providers().collect::<Vec<_>>());
    for (name, [truly_online, truly_offline], says) in &rows {
        assert_eq!([*truly_online, *truly_offline, 0], *says, "{name}\n{}", ended.stdout);
        assert!(*truly_online > 0 && *truly_offline > 0 && truly_online + truly_offline == 12, "{name}");
    }
    assert!(ended.stdout.starts_with("60 simulated targets at 5 providers\nmetrics: http://127.0.0.1:"));
    let spent: Vec<Vec<&str>> = ended
        .stdout
        .rsplit_once("CLOUD ")
        .expect("it says what was spent")
        .1
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(spent.len(), 4);
    for row in &spent {
        let number = |column: usize| row[column].parse::<u32>().expect("a number");
        assert!(number(1) > 0 && number(2) <= number(3), "no second exceeds what is allowed: {row:?}");
    }
    let last = ended.stderr.lines().last().expect("it logs");
    assert!(last.ends_with("level=INFO msg=stopped"), "{last}");
}

#[test]
fn a_demo_takes_another_port_when_its_own_is_taken() {
    // Somebody else may have the port already, which serves as well.
    let _taken = TcpListener::bind("127.0.0.1:10076");
    let mut demo = Running::start(program(&["demo", "--targets=2"]));
    let address = demo.told("metrics: http://");
    let address = address.strip_suffix("/metrics").expect("the path of the page");
    assert!(address.starts_with("127.0.0.1:") && address != "127.0.0.1:10076", "{address}");
    assert!(page(address).contains("presence_source_up"));
}

#[test]
fn a_provider_that_throttles_leaves_its_targets_unknown_and_nobody_offline() {
    let mut demo = Running::start(program(&[
        "demo",
        "--targets=5",
        "--interval=1s",
        "--fault=openim:throttle",
        "--web.listen-address=127.0.0.1:0",
    ]));
    let address = demo.address();
    let targets = |page: &str, provider: &str, state: &str| {
        let kind = match provider {
            "alibaba_mqtt" => "device",
            "huawei_workspace" => "desktop",
            _ => "user",
        };
        let labels =
            format!("source=\"{provider}\",provider=\"{provider}\",kind=\"{kind}\",state=\"{state}\"");
        sample(page, &format!("presence_source_targets{{{labels}}}")).expect("each source has every state")
    };
    let page = demo.wait_for("the four healthy providers' answers and the fifth's refusal", |_| {
        let page = page(&address);
        let known = providers().all(|name| name == "openim" || targets(&page, name, "unknown") == "0");
        (known && page.contains("reason=\"throttled\"} 1\n")).then_some(page)
    });
    assert_eq!(targets(&page, "openim", "unknown"), "5");
    assert_eq!(targets(&page, "openim", "offline"), "0");
    let of_openim: Vec<&str> = page.lines().filter(|line| line.contains("source=\"openim\"")).collect();
    assert!(!of_openim.iter().any(|line| line.starts_with("presence_online{")));
    let throttled =
        |line: &&&str| line.starts_with("presence_unknown{") && line.contains("reason=\"throttled\"");
    assert_eq!(of_openim.iter().filter(throttled).count(), 5);
    assert!(!page.lines().any(|line| line.starts_with("presence_unknown{") && !line.contains("openim")));
    let ready = get(&address, "/-/ready", &[]).expect("it is served");
    assert_eq!((ready.status, ready.text().as_str()), (503, "Sources without a first answer:\nopenim\n"));
}

#[test]
fn the_truth_is_told_again_and_again_when_asked_for() {
    let mut demo =
        Running::start(program(&["demo", "--truth", "--targets=2", "--web.listen-address=127.0.0.1:0"]));
    demo.told("huawei_workspace ");
    demo.signal("INT");
    let ended = demo.ended();
    assert_eq!(ended.code(), 0);
    assert_eq!(comparison(&ended.stdout).len(), 5);
}
