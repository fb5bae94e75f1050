use super::*;

use super::budget::tests::TEXT;
use super::synthetic::{Costs, Work, run};
use super::target::tests::target as any_target;

const COSTS: Costs = Costs {
    send: 3e-6,
    far: 1e-6,
    near: 1_000.0,
    byte: 0.1e-9,
    pass: 10e-6,
    message: 0.5e-6,
    relay: 6e-6,
    compression: 0.0,
    rest: 0.004,
};

fn works() -> Vec<(&'static str, Work)> {
    let work = Work::default();
    vec![
        ("few.json", Work { subscribers: 10.0, rate: 6_007.0, ..work }),
        ("idle.json", Work { subscribers: 10.0, rate: 1.3, ..work }),
        ("thousand.json", Work { subscribers: 1_000.0, rate: 97.3, ..work }),
        ("more.json", Work { subscribers: 1_000.0, rate: 203.0, ..work }),
        ("far.json", Work { subscribers: 25_000.0, rate: 53.0, topics: 5.0, ..work }),
        ("farther.json", Work { subscribers: 10_000.0, rate: 13.3, ..work }),
        ("large.json", Work { subscribers: 1_000.0, rate: 47.3, size: 16_384.0, ..work }),
        ("together.json", Work { subscribers: 10.0, rate: 300_007.0, messages_per_send: 64.0, ..work }),
        ("relayed.json", Work { subscribers: 64.0, rate: 3_209.0, shards: 2.0, relays_each: 1.0, ..work }),
    ]
}

fn runs() -> Vec<Observation> {
    works().iter().map(|(name, work)| run(name, work, &COSTS)).collect()
}

/// 100,000 connections on 20 topics, 40 messages/s to 5,000 each.
fn target() -> Target {
    Target { topics: 20.0, rate: 40.0, fan_out: 5_000.0, ..any_target() }
}

const LIMITS: HostLimits =
    HostLimits { cores: 8, memory_bytes: 34_359_738_368.0, link_bits_per_second: 1e9, headroom: 0.3 };

fn made(runs: Vec<Observation>, target: Target, limits: HostLimits) -> Plan {
    let network = target.network;
    planned(runs, &[], Some(target), limits, network, &BudgetSource::None).expect("a plan")
}

fn service(plan: &Plan) -> &Service {
    plan.service.as_ref().expect("something was planned")
}

#[test]
fn a_plan_has_cores_memory_bandwidth_and_hosts() {
    let plan = made(runs(), target(), LIMITS);
    let service = service(&plan);
    // 200,000 sends of 3 us, and of 1 us more for 1 - 1,000 / 50,000 of them; 13.2 MB; 40 passes of 10.5 us, each told to
    // another shard; two cores.
    let busy = 0.6 + 0.196 + 0.00132 + 0.00042 + 0.00024 + 0.008;
    let whole = service.whole.as_ref().expect("cores that suffice");
    assert_eq!(whole.cores, 2);
    assert!((whole.busy_cores - busy).abs() < 1e-6, "{} {busy}", whole.busy_cores);
    let hosts = service.hosts.expect("hosts that suffice");
    assert_eq!((hosts.for_cores, hosts.for_memory, hosts.for_link, hosts.with_spare), (1, 1, 1, 2));
    assert_eq!(service.host.traffic.out, 200_000.0 * 156.0 + 40.0 * 90.0);
    assert_eq!(service.host_kernel_bytes.round(), 800e6);
    assert_eq!(service.host_user_bytes.round(), 2.0 * 6e6 + 11e6);
    assert_eq!(service.host_user_bytes.round(), service.host_resident_bytes.round());
    assert!(plan.extrapolations.is_empty() && plan.runs_to_make.is_empty(), "{plan}");
    assert_eq!(plan.exit_code(), 0);
}

#[test]
fn one_host_more_than_needed_may_be_missing() {
    let plan = made(runs(), target(), HostLimits { cores: 1, ..LIMITS });
    let hosts = service(&plan).hosts.expect("hosts that suffice");
    assert_eq!((hosts.for_cores, hosts.needed, hosts.with_spare), (2, 2, 3));
    assert_eq!(service(&plan).host.cores, 1);
    let share = service(&plan).host.busy_cores;
    assert!(share < 0.7, "{share}");
}

#[test]
fn what_is_planned_far_out_is_told_with_the_run_that_went_furthest() {
    let plan = made(runs(), Target { connections: 100_001.0, ..target() }, LIMITS);
    assert_eq!(
        plan.warnings,
        [
            "connections of a host: 100,001 planned, 4.0 times the 25,000 of far.json; beyond 4 times what was measured the \
          model is a guess"
        ]
    );
}

#[test]
fn a_cost_that_no_run_tells_has_the_command_of_one_that_would() {
    let some = |names: &[&str]| -> Vec<Observation> {
        runs().into_iter().filter(|run| names.contains(&run.run.as_str())).collect()
    };
    let all_but_relayed = runs()[..8].to_vec();
    let plan = made(all_but_relayed, target(), LIMITS);
    let missing: Vec<&str> = plan.runs_to_make.iter().map(|run| run.term).collect();
    assert_eq!(missing, ["relay"], "{plan}");
    let relay = &plan.runs_to_make[0];
    assert_eq!(
        relay.why,
        "no run had any of it, so a message relayed to another shard costs nothing in this plan"
    );
    assert_eq!(relay.server, Some("--shards 2"));
    assert_eq!(
        relay.command,
        "corecast-load run --preset corecast --server-pid $(pidof corecast) --cores 1 --busy-poll --subscribers 64 \
         --publishers 8 --rate 403 --json relay.json"
    );
    let plan = made(some(&["thousand.json", "more.json"]), Target { churn: 5.0, ..target() }, LIMITS);
    let missing: Vec<&str> = plan.runs_to_make.iter().map(|run| run.term).collect();
    assert_eq!(missing, ["pass", "far", "byte", "message", "connect"], "{plan}");
    assert!(
        plan.runs_to_make[0].why.starts_with("these runs cannot tell taking in what was published together")
    );
}

#[test]
fn what_makes_the_fit_unsure_is_told() {
    let two = || runs()[..2].to_vec();
    assert_eq!(
        warnings_of_runs(&two(), &CostModel::fit(&two())),
        ["2 costs from 2 runs: there is nothing left to see an error by; give more runs"]
    );
    let mut elsewhere = runs();
    elsewhere[3].host = "Other CPU, Linux 6.18.0".into();
    let warnings = warnings_of_runs(&elsewhere, &CostModel::fit(&elsewhere));
    assert!(warnings[0].starts_with("the runs are of different hosts: Example CPU"), "{warnings:?}");
    let mut odd = runs();
    odd.push(Observation { run: "odd.json".into(), busy_seconds: 0.9, ..odd[2].clone() });
    let warnings = warnings_of_runs(&odd, &CostModel::fit(&odd));
    assert!(warnings.iter().any(|warning| warning.contains("off for odd.json")), "{warnings:?}");
    let idle = vec![runs()[1].clone()];
    let warnings = warnings_of_runs(&idle, &CostModel::fit(&idle));
    assert!(warnings[1].starts_with("no run kept the server busy for more than 0.04 s"), "{warnings:?}");
}

#[test]
fn a_topic_that_is_too_much_for_its_home_is_told() {
    let flooded = Target { topics: 1.0, rate: 60_000.0, fan_out: 10.0, ..target() };
    let costs = CostModel::fit(&runs());
    let warning = warn_of_busiest_topic(&costs, &flooded, 0.3).expect("a warning");
    assert!(warning.contains("would be 99 % busy with that alone"), "{warning}");
    assert_eq!(warn_of_busiest_topic(&costs, &Target { topics: 2.0, ..flooded }, 0.3), None);
}

#[test]
fn tls_and_the_network_card_are_said_to_be_missing() {
    let encrypted = Network { tls: true, ..target().network };
    let plan = made(runs(), Target { network: encrypted, ..target() }, LIMITS);
    assert!(plan.not_included[0].starts_with("what a network card costs"));
    assert!(plan.not_included[1].starts_with("the processor time of TLS"));
    // 22 bytes more for each record.
    assert_eq!(service(&plan).host.traffic.out, 200_000.0 * 178.0 + 40.0 * 90.0);
    let mut remote = runs();
    remote[0].memory.kernel_bytes = None;
    let plan = made(remote, target(), LIMITS);
    assert!(!plan.not_included.iter().any(|what| what.contains("network card")), "{:?}", plan.not_included);
}

#[test]
fn short_messages_are_not_compressed() {
    let warned = |size| {
        let target = Target { compressed_to: Some(0.4), message_bytes: size, ..target() };
        made(runs(), target, LIMITS).warnings.iter().any(|warning| warning.contains("go plain"))
    };
    assert!(warned(511.0) && !warned(512.0));
}

#[test]
fn a_budget_of_other_shards_is_told() {
    let path = std::env::temp_dir().join(format!("corecast-plan-budget-{}.json", std::process::id()));
    std::fs::write(&path, TEXT).expect("a place for files");
    let source = BudgetSource::File(path.clone());
    let target = Target { rate: 100.0, ..target() };
    let plan = planned(runs(), &[], Some(target.clone()), LIMITS, target.network, &source);
    std::fs::remove_file(&path).expect("it is there");
    let plan = plan.expect("a plan");
    assert_eq!(service(&plan).host.cores, 3);
    assert!(plan.warnings.iter().any(|warning| warning.contains("the budget is for 2 shards")), "{plan}");
}

#[test]
fn held_out_runs_decide_the_exit_status() {
    let work = Work { subscribers: 4_000.0, rate: 30.0, ..Work::default() };
    let good = run("good.json", &work, &COSTS);
    let bad = Observation {
        run: "bad.json".into(),
        busy_seconds: good.busy_seconds * 2.0,
        process_seconds: good.process_seconds / 2.0,
        ..good.clone()
    };
    let network = target().network;
    let check = |held_out: &[Observation]| {
        planned(runs(), held_out, None, LIMITS, network, &BudgetSource::None).expect("a plan")
    };
    assert_eq!(check(std::slice::from_ref(&good)).exit_code(), 0);
    let both = check(&[good, bad]);
    assert_eq!(both.exit_code(), 2);
    assert!(both.service.is_none());
    let text = both.to_string();
    assert!(text.contains("-50.0 %    25 %  too far off\n"), "{text}");
    let alone = "  good.json\n    busy";
    assert!(
        text.contains(alone) && text.contains("  bad.json; others ran on the server's cores\n"),
        "{text}"
    );
}

/// Reports as `run --json` writes them.
fn written(folder: &std::path::Path, name: &str, change: impl FnOnce(&mut crate::Report)) -> PathBuf {
    let mut report = crate::report::sample::report();
    report.verdict.exit_code = 0;
    report.verdict.reasons.clear();
    change(&mut report);
    let path = folder.join(name);
    std::fs::write(&path, report.to_json()).expect("a place for files");
    path
}

#[test]
fn a_plan_is_made_from_files() {
    use clap::Parser;
    let folder = std::env::temp_dir().join(format!("corecast-plan-runs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a place for files");
    let same = written(&folder, "same.json", |_| ());
    let less = written(&folder, "less.json", |report| {
        report.throughput.messages_per_second /= 2.0;
        report.throughput.deliveries_per_second /= 2.0;
        report.throughput.megabytes_per_second /= 2.0;
        report.server.as_mut().expect("a server").core_busy_seconds = 2.5;
    });
    let posted = written(&folder, "posted.json", |report| {
        report.setup.publish_url = "http://127.0.0.1:9001/topics/{topic}".into();
    });
    let lost = written(&folder, "lost.json", |report| report.verdict.exit_code = 2);
    let planned = |runs: &[&PathBuf]| {
        let runs = runs.iter().map(|path| path.to_str().expect("a path of ours"));
        let arguments = ["plan", "--runs"].into_iter().chain(runs);
        let arguments = arguments.chain(["--connections", "2000", "--rate", "100"]);
        plan(&PlanOptions::try_parse_from(arguments).expect("options that parse"))
    };
    let error = |runs: &[&PathBuf]| planned(runs).expect_err("no plan").to_string();

    let found = planned(&[&same, &less]).expect("a plan");
    assert_eq!(found.runs[0].run, same.display().to_string());
    // 4.5 s for 999,990 sends, 2.5 s for half of them.
    assert!((found.costs.cost(Term::Send).seconds - 4e-6).abs() < 1e-8, "{found}");
    assert!((found.costs.cost(Term::Rest).seconds - 0.05).abs() < 1e-3, "{found}");
    assert!(error(&[&same, &posted]).starts_with(
        "the runs are of different kinds of work, corecast and corecast, posted over HTTP, which do not cost the same"
    ));
    assert!(error(&[&lost]).contains("lost.json: the run is not valid"));
    assert!(error(&[&folder.join("none.json")]).starts_with("cannot read the report"));
    std::fs::remove_dir_all(&folder).expect("it is there");
}

#[test]
fn mistakes_are_told_with_what_to_give() {
    use clap::Parser;
    let target = |arguments: &[&str], preset: &str| {
        let arguments = ["plan", "--runs", "a", "--rate", "1"].iter().chain(arguments).copied();
        let options = PlanOptions::try_parse_from(arguments).expect("options that parse");
        let connections = options.connections.expect("connections");
        super::target(&options, connections, preset).map_err(|error| error.to_string())
    };
    assert_eq!(
        target(&["--connections", "0"], "corecast").unwrap_err(),
        "--connections, --topics or --subscriptions is 0: give at least 1"
    );
    assert_eq!(
        target(&["--connections", "9", "--fan-out", "10"], "corecast").unwrap_err(),
        "--fan-out is 10: give more than 0, and no more than --connections"
    );
    assert!(target(&["--connections", "9", "--subscriptions", "3"], "corecast").is_err());
    let json = target(&["--connections", "9", "--subscriptions", "3", "--topics", "27"], "corecast-json");
    let json = json.expect("a target");
    assert_eq!((json.fan_out, json.is_acknowledged, json.ping_seconds), (1.0, true, Some(25.0)));
}

#[test]
fn json_has_the_versioned_schema() {
    let json = serde_json::to_value(made(runs(), target(), LIMITS)).expect("a plan is serializable");
    assert_eq!(json["schema"], "corecast-load/plan/1");
    assert_eq!(json["costs"]["costs"][0]["term"], "send");
    assert_eq!(json["costs"]["costs"][5]["known"], "not_run");
    assert_eq!(json["service"]["hosts"]["with_spare"], 2);
    assert_eq!(json["service"]["whole"]["parts"][0][0], "send");
    assert_eq!(json["runs"][0]["run"], "few.json");
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "check",
        "commit",
        "costs",
        "extrapolations",
        "memory",
        "not_included",
        "runs",
        "runs_to_make",
        "schema",
        "service",
        "version",
        "warnings",
        "witnesses",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn text_has_the_formula_with_its_numbers() {
    let target = Target { rate: 400.0, topics: 10.0, ..target() };
    let plan = Plan { version: "0.1.0", commit: "abc1234", ..made(runs(), target, LIMITS) };
    let expected = "\
corecast-load 0.1.0 (abc1234): capacity plan
  for             100,000 connections on 10 topics; 400 messages/s in all = 40 a topic, of 64 bytes, to 5,000
                  subscribers = 2,000,000 deliveries/s
  fitted to       9 runs of corecast, off by at most 0 %: Example CPU, Linux 6.18.0

  busy time =         cost   in a second  busy cores   sum of (and the run that says most about it)
    send           3.00 us     2,000,000       6.000   a send to a subscriber (more.json: 99 % of its time)
    pass           10.0 us           400       0.004   taking in what was published together, and beginning to send it (few.json: 24 % of its time)
    far            1.00 us     1,760,000       1.760   more for a send, x (1 - 1,000 near / 8,333 of a core) (far.json: 24 % of its time)
    byte            100 ps   132,000,000       0.013   a byte sent (large.json: 35 % of its time)
    relay          6.00 us         4,400       0.026   a message relayed to another shard (relayed.json: 3 % of its time)
    compression          -             0       0.000   a byte compressed: not measured
    message         500 ns           400       0.000   each message of it (together.json: 42 % of its time)
    rest           4.00 ms            12       0.048   a core's second with whatever else runs there (idle.json: 99 % of its time)
    connect        10.0 us             0       0.000   opening a connection (38,094 connections of all runs; 10.0 us to 10.0 us by run)
    all                                        7.852
  cores           7.85 busy / (1 - 30 % headroom) = 11.22: 12 cores, were they all in one host
                  if messages of a topic may wait for each other (--wait) 100 ms: 4 messages a send, 3 cores, 1.42
                  Gbit/s

  runs                busy    fitted      off  left out      memory      fitted      off
                   2.477 s   2.477 s    0.0 %   +15.4 %    5.72 MiB           -        -   few.json
                   0.041 s   0.041 s    0.0 %     0.0 %    5.72 MiB           -        -   idle.json
                   2.976 s   2.976 s    0.0 %     0.0 %    5.83 MiB    5.83 MiB    0.0 %   thousand.json
                   6.165 s   6.165 s    0.0 %     0.0 %    5.83 MiB    5.83 MiB    0.0 %   more.json
                  10.557 s  10.557 s    0.0 %     0.0 %    8.34 MiB    8.34 MiB    0.0 %   far.json
                   5.237 s   5.237 s    0.0 %     0.0 %    6.77 MiB    6.77 MiB    0.0 %   farther.json
                   2.239 s   2.239 s    0.0 %         -    5.83 MiB    5.83 MiB    0.0 %   large.json
                   3.613 s   3.613 s    0.0 %         -    5.72 MiB           -        -   together.json
                   6.744 s   6.744 s    0.0 %         -    7.64 MiB           -        -   relayed.json
                left out: what a model of the other runs says about this one

  memory of a host              each         times        user      kernel   from
    shard and process       5.72 MiB             3    17.2 MiB               measured in the runs above
    connection                 110 B        25,000    2.62 MiB               measured in the runs above
    socket, both ends       7.81 KiB        25,000                 191 MiB   measured in the runs above
    all                                               19.8 MiB     191 MiB   211 MiB in all; the process is likely to show 19.8 MiB
                  kernel memory of both ends of a connection was measured: 8000 B

  link of a host  624 Mbit/s = 62.4 % out, 361 Mbit/s = 36.1 % back of 1.00 Gbit/s
                  a send of 1 message = 66 bytes with its frame header; 156 on the wire (for each 1,448: 52 of IP and
                  TCP, 38 of Ethernet; MTU 1500), 90 back
                  measured on a full core: up to 64 messages in a send (together.json)
  hosts           4 needed (2 for cores, 1 for memory, 4 for the link), 5 with one to spare; each with 8 cores, 32.0
                  GiB, 1.00 Gbit/s and 30 % headroom
                  of each, with the spare one missing: 3 cores with a shard each, 65 % busy; 1 % of its memory; every
                  host gets every message
  not included    what a network card costs: its driver, interrupts and queues take cores too. All runs were over
                  loopback, which has none, but has the receiving side's TCP on the server's core instead
                  what the kernel holds for subscribers that read slowly, up to the socket's send buffer each; and
                  packets on their way
                  latency: cores that are free most of the time answer soon, how soon is for measuring
";
    assert_eq!(plan.to_string(), expected);
}

/// Every name in a JSON value.
fn names(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                names(value, found);
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let work = Work { subscribers: 4_000.0, rate: 30.0, ..Work::default() };
    let held_out = [run("held_out.json", &work, &COSTS)];
    // Something of everything: far out, waiting, and costs that are not known.
    let target = Target { connections: 1e6, topics: 1.0, rate: 900.0, churn: 10.0, ..target() };
    let network = target.network;
    let few = [runs()[2].clone(), runs()[3].clone(), runs()[5].clone()].to_vec();
    let plan = planned(few, &held_out, Some(target), LIMITS, network, &BudgetSource::None).expect("a plan");
    let full = [plan.extrapolations.len(), plan.runs_to_make.len(), service(&plan).waiting.len()];
    assert!(!full.contains(&0), "{plan}");
    let mut found = std::collections::BTreeSet::new();
    names(&serde_json::to_value(&plan).expect("a plan is serializable"), &mut found);
    let documented = include_str!("../../PLAN.md");
    let missing: Vec<&String> = found
        .iter()
        .filter(|name| {
            !["`", "."].iter().any(|before| {
                ["`", "[]", "."].iter().any(|after| documented.contains(&format!("{before}{name}{after}")))
            })
        })
        .collect();
    assert!(missing.is_empty(), "loadgen/PLAN.md does not name {missing:?}");
}
