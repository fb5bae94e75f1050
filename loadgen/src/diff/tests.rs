use super::*;
use crate::report::{Percentiles, sample};
use crate::timeline::Interval;

fn valid() -> Report {
    let mut report = sample::report();
    report.verdict.valid = true;
    report.verdict.reasons.clear();
    report.delivery.lost = 0;
    report.connect.failed = 0;
    report
}

/// Ten intervals of a second, whose p50 is around that of the report by turns.
fn steady(scale: u64) -> Report {
    let mut report = valid();
    let of = Percentiles {
        count: 1_000,
        min_ns: 50_000 * scale,
        p50_ns: 100_000 * scale,
        p90_ns: 200_000 * scale,
        p99_ns: 300_000 * scale,
        p999_ns: 400_000 * scale,
        max_ns: 500_000 * scale,
    };
    report.latency.from_intended = Some(of);
    let measured = *report.timeline.iter().find(|part| part.phase.name() == "measure").expect("one");
    report.timeline = (0..10)
        .map(|number| Interval {
            begin_seconds: f64::from(number),
            seconds: 1.0,
            p50_ns: Some((100_000 + 1_000 * u64::from(number % 2 == 0)) * scale),
            ..measured
        })
        .collect();
    report
}

fn group(reports: &[Report]) -> Group {
    let files = (1..=reports.len()).map(|number| format!("{number}.json")).collect();
    Group { files, reports: reports.to_vec() }
}

fn compare(base: &[Report], new: &[Report]) -> Comparison {
    Comparison::new(group(base), group(new))
}

fn figure<'a>(comparison: &'a Comparison, name: &str) -> &'a Compared {
    comparison.figures.iter().find(|figure| figure.name == name).expect("a figure of that name")
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let comparison = compare(&[steady(1)], &[steady(1)]);
    assert!(comparison.figures.iter().all(|figure| figure.finding == Finding::Same), "{comparison}");
    assert_eq!(comparison.warnings, <[String; 0]>::default());
    assert_eq!(comparison.failures(0.0), <[String; 0]>::default());
}

#[test]
fn single_runs_differ_beyond_what_their_intervals_do() {
    let mut little = steady(1);
    little.latency.from_intended.as_mut().expect("open loop").p50_ns = 100_400;
    let comparison = compare(&[steady(1)], &[little]);
    assert!(comparison.is_estimate);
    let p50 = figure(&comparison, "from intended p50");
    assert_eq!((p50.base, p50.new, p50.finding), (100_000.0, 100_400.0, Finding::Noise));
    // The intervals' standard deviation is 525 ns at that scale: 2.101 * 525 * sqrt(2 / 10).
    assert_eq!((p50.noise_share.expect("known") * 1e5).round(), 494.0);

    let comparison = compare(&[steady(1)], &[steady(2)]);
    let p50 = figure(&comparison, "from intended p50");
    assert_eq!((p50.difference_share, p50.finding), (Some(1.0), Finding::Worse));
    let comparison = compare(&[steady(2)], &[steady(1)]);
    let p50 = figure(&comparison, "from intended p50");
    assert_eq!((p50.difference_share, p50.finding), (Some(-0.5), Finding::Better));
}

#[test]
fn without_intervals_or_repetition_noise_is_unknown() {
    let mut slower = steady(1);
    slower.latency.spread.p50_ns *= 3;
    let comparison = compare(&[steady(1)], &[slower]);
    let spread = figure(&comparison, "spread p50");
    assert_eq!((spread.difference_share, spread.noise_share), (Some(2.0), None));
    assert_eq!(spread.finding, Finding::Unknown);
    assert_eq!(comparison.failures(0.05), <[String; 0]>::default());
}

/// Runs with these rates of connects.
fn connecting(rates: &[f64]) -> Vec<Report> {
    let run = |&per_second| {
        let mut report = steady(1);
        report.connect.per_second = per_second;
        report
    };
    rates.iter().map(run).collect()
}

#[test]
fn groups_differ_beyond_what_their_runs_do() {
    let base = connecting(&[990.0, 1_000.0, 1_010.0]);
    let comparison = compare(&base, &connecting(&[980.0, 995.0, 1_010.0]));
    assert!(!comparison.is_estimate);
    assert_eq!(figure(&comparison, "connects/s").finding, Finding::Noise);
    let comparison = compare(&base, &connecting(&[890.0, 900.0, 910.0]));
    let rate = figure(&comparison, "connects/s");
    assert_eq!((rate.base, rate.new, rate.finding), (1_000.0, 900.0, Finding::Worse));
    assert_eq!(
        comparison.failures(0.05),
        ["connects/s is worse by 10.0 %, beyond its noise; at most 5.0 % are allowed"]
    );
    assert_eq!(comparison.failures(0.1), <[String; 0]>::default());
    let comparison = compare(&base, &connecting(&[1_090.0, 1_100.0, 1_110.0]));
    assert_eq!(figure(&comparison, "connects/s").finding, Finding::Better);
}

#[test]
fn every_loss_is_too_much() {
    let mut lossy = steady(1);
    lossy.delivery.lost = 2;
    let comparison = compare(&[steady(1)], &[lossy.clone()]);
    assert_eq!(figure(&comparison, "lost").finding, Finding::Worse);
    assert_eq!(comparison.failures(0.5), ["lost rose from 0 to 2"]);
    let comparison = compare(&[lossy], &[steady(1)]);
    assert_eq!(figure(&comparison, "lost").finding, Finding::Better);
}

#[test]
fn what_one_side_does_not_have_is_not_compared() {
    let mut blind = steady(1);
    blind.server = None;
    blind.latency.from_intended = None;
    let comparison = compare(&[steady(1)], &[blind]);
    let names: Vec<&str> = comparison.figures.iter().map(|figure| figure.name).collect();
    assert!(
        !names.contains(&"server's CPU per delivery") && !names.contains(&"from intended p50"),
        "{names:?}"
    );
    assert_eq!(
        comparison.warnings,
        ["the set-ups differ: in only one of them the server's process was watched"]
    );
}

#[test]
fn the_reader_is_warned() {
    let mut other = steady(1);
    other.setup.message_bytes = 1_024;
    other.setup.host.kernel = "Linux 6.19.0".into();
    other.setup.seed = 99;
    other.setup.command_line.clear();
    other.verdict.valid = false;
    other.verdict.reasons = vec!["worker 0 was busy".into()];
    let comparison = compare(&[steady(1), steady(1)], &[steady(1), other]);
    assert!(comparison.has_invalid_run);
    assert_eq!(
        comparison.warnings,
        [
            "new 2.json is not valid: worker 0 was busy",
            "runs of new differ among themselves: host.kernel: Linux 6.18.0 and Linux 6.19.0",
            "runs of new differ among themselves: message_bytes: 64 and 1024",
        ]
    );
}

#[test]
fn the_table_is_aligned() {
    let mut new = steady(2);
    new.delivery.lost = 1_234;
    new.delivery.reordered = 7;
    new.throughput.deliveries_per_second = 98_000.0;
    let text = compare(&[steady(1)], &[new]).to_string();
    let expected = "  base  1.json (1 run)
  new   1.json (1 run)

                                              base           new  difference       noise
  deliveries/s                              99,999        98,000      -2.0 %      ±0.1 %  WORSE?
  messages/s                                   100           100           0      ±0.1 %
  from intended p50                         100 us        200 us    +100.0 %      ±0.8 %  WORSE?
";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\n  lost                                           0         1,234      +1,234              WORSE\n"), "{text}");
    assert!(text.contains("\n  reordered                                      0             7          +7              WORSE\n"), "{text}");
    assert!(!text.contains("duplicated"), "{text}");
    assert!(text.contains("Noise is an estimate from the intervals within each run"), "{text}");
    assert!(text.ends_with("beyond noise (estimated): 0 better, 8 worse\n"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 120 && line == line.trim_end()), "{text}");
}

#[test]
fn findings_from_repeated_runs_are_no_questions() {
    let text =
        compare(&connecting(&[990.0, 1_000.0, 1_010.0]), &connecting(&[890.0, 900.0, 910.0])).to_string();
    let row =
        "  connects/s                                 1,000           900     -10.0 %      ±2.3 %  WORSE\n";
    assert!(text.contains(row), "{text}");
    assert!(text.contains("Noise is from the runs of each group (Welch's t, 95 %)"), "{text}");
    assert!(text.ends_with("beyond noise: 0 better, 1 worse\n"), "{text}");
}

#[test]
fn json_has_a_schema_of_its_own() {
    let json = serde_json::to_value(compare(&[steady(1)], &[steady(2)])).expect("serializable");
    assert_eq!(json["schema"], "corecast-load-diff/1");
    assert_eq!(json["base"]["files"][0], "1.json");
    assert_eq!(json["figures"][2]["name"], "from intended p50");
    assert_eq!(json["figures"][2]["finding"], "worse");
    assert_eq!(json["figures"][2]["kind"], "nanoseconds");
}

#[test]
fn percentages_may_have_their_sign() {
    assert_eq!(
        (parse_percent("5%"), parse_percent("2.5"), parse_percent("0 %")),
        (Ok(0.05), Ok(0.025), Ok(0.0))
    );
    for text in ["", "%", "-1%", "many", "NaN"] {
        assert!(parse_percent(text).is_err(), "{text}");
    }
}
