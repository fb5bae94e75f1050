//! What a run leaves behind: files in every form, and their comparison.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use corecast_load::Report;
use corecast_load::timeline::Phase;

use crate::support::{Behaviour, Fate, TestServer};
use crate::{run_against, with_short};

fn load(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_corecast-load")).args(arguments).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A directory of the test's own, which is removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("corecast-load-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a place for files");
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_timeline_adds_up() {
    let server = TestServer::start(Behaviour::default());
    let arguments =
        ["-c", "5", "--rate", "1000", "--duration", "400ms", "--warmup", "100ms", "--grace", "10s"];
    let report = run_against(&server, &arguments);
    let of = |phase| report.timeline.iter().filter(move |interval| interval.phase == phase);
    assert_eq!(of(Phase::Measure).count(), 20, "400 ms in intervals of 20 ms");
    assert_eq!(of(Phase::Drain).count(), 1);
    let published: Option<u64> =
        of(Phase::Measure).chain(of(Phase::Drain)).map(|interval| interval.published).sum();
    let received: Option<u64> =
        of(Phase::Measure).chain(of(Phase::Drain)).map(|interval| interval.received).sum();
    assert_eq!((published, received), (Some(400), Some(2_000)));
    let opened: Option<u32> = of(Phase::Connect).map(|interval| interval.opened).sum();
    assert_eq!(opened, Some(6));
    let longest = report.timeline.iter().filter_map(|interval| interval.max_ns).max();
    let latency = report.latency.from_intended.expect("an open loop");
    assert_eq!(longest, Some(latency.max_ns));

    let mut sum = report.interval_histograms[0].from_sent.decode().expect("what was encoded");
    for interval in &report.interval_histograms[1..] {
        sum.add(interval.from_sent.decode().expect("what was encoded")).expect("equal bounds");
    }
    let whole = report.histograms.from_sent.decode().expect("what was encoded");
    assert_eq!((sum.len(), &sum), (2_000, &whole));
    assert_eq!(whole.value_at_quantile(0.99), report.latency.from_sent.p99_ns);
}

#[test]
fn a_run_is_written_in_every_form_and_shown_again() {
    let server = TestServer::start(Behaviour::default());
    let directory = Directory::new("forms");
    let (json, hlog, html) = (directory.file("a.json"), directory.file("a.hlog"), directory.file("a.html"));
    let outputs = ["--json", &json, "--hlog", &hlog, "--html", &html];
    let url = server.url();
    let (code, text, errors) =
        load(&[&["run", &url, "--preset", "corecast", "-c", "3"], &with_short(&outputs)[..]].concat());
    assert!([Some(0), Some(3)].contains(&code), "{errors}");
    assert!(text.starts_with("corecast-load 0.1.0 ("), "{text}");

    let report = Report::read(json.as_ref()).expect("what was just written");
    assert_eq!(report.delivery.received, 600);
    assert_eq!(report.to_string(), text);
    assert_eq!(report.to_json(), fs::read_to_string(&json).expect("the file"));
    let log = fs::read_to_string(&hlog).expect("the file");
    assert!(log.contains("\nTag=from_intended,"), "{log}");
    let page = fs::read_to_string(&html).expect("the file");
    assert_eq!(report.to_html().expect("a page"), page);

    let again = directory.file("b.html");
    let (code, shown, _) = load(&["show", &json, "--html", &again]);
    assert_eq!((code, shown), (Some(0), text));
    assert_eq!(fs::read_to_string(again).expect("the file"), page);
    let (code, shown, _) = load(&["show", &json, "--json", "-"]);
    assert_eq!((code, shown), (Some(0), report.to_json()));
}

#[test]
fn places_that_cannot_be_written_are_told_before_the_run() {
    let (code, _, errors) = load(&["run", "ws://127.0.0.1:9/", "--hlog", "/nonexistent/a.hlog"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        errors,
        "corecast-load: --hlog /nonexistent/a.hlog: there is no directory /nonexistent; make it, or choose another place\n"
    );
    let (code, _, errors) = load(&["show", "/nonexistent/a.json"]);
    assert_eq!(code, Some(1));
    assert!(errors.starts_with("corecast-load: cannot read the report /nonexistent/a.json: "), "{errors}");
}

#[test]
fn diff_exits_as_documented() {
    let directory = Directory::new("diff");
    let good = TestServer::start(Behaviour::default());
    let mut report = run_against(&good, &with_short(&["-c", "3"]));
    report.verdict.valid = true;
    let lossy = TestServer::start(Behaviour {
        fate: |number, _| if number == 7 { Fate::Lose } else { Fate::Deliver },
        ..Behaviour::default()
    });
    let lossy = run_against(&lossy, &with_short(&["-c", "3", "--grace", "500ms"]));
    let (base, new) = (directory.file("base.json"), directory.file("new.json"));
    fs::write(&base, report.to_json()).expect("a place for files");
    fs::write(&new, lossy.to_json()).expect("a place for files");

    let (code, out, errors) = load(&["diff", &base, &base, "--fail-above", "0%"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with("beyond noise (estimated): 0 better, 0 worse\n"), "{out}");
    let (code, out, _) = load(&["diff", &base, &new]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains(" is not valid: 3 deliveries were lost"), "{out}");
    let (code, _, errors) = load(&["diff", &base, &new, "--fail-above", "1000%"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("corecast-load: lost rose from 0 to 3\n"), "{errors}");
    let (code, _, _) = load(&["diff", &new, &new, "--fail-above", "5%"]);
    assert_eq!(code, Some(3), "lost as much as before, but not valid");
    let (code, out, _) = load(&["diff", "--base", &base, &base, "--new", &base, &new, "--json", "-"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!((&json["schema"], &json["is_estimate"]), (&"corecast-load-diff/1".into(), &false.into()));
    assert_eq!(json["new"]["files"].as_array().map(Vec::len), Some(2));

    for wrong in
        [&["diff"][..], &["diff", &base], &["diff", "--base", &base], &["diff", &base, "/nonexistent"]]
    {
        assert_eq!(load(wrong).0, Some(1), "{wrong:?}");
    }
    let (code, _, errors) = load(&["diff", &base, &base, &base, "--json", "-"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("--json takes one comparison"), "{errors}");
}
