use super::*;

fn plot(series: Vec<Series>) -> Plot {
    Plot {
        title: "Title <&>".into(),
        description: "it \"rises\"".into(),
        x: Axis::linear("time", Unit::Seconds),
        y: Axis::linear("rate", Unit::Count),
        series,
        marks: Vec::new(),
    }
}

fn ticks(axis: &Axis, values: &[f64]) -> Vec<String> {
    axis.fit(values.iter().copied(), 0.0, 400.0).ticks().into_iter().map(|(_, label)| label).collect()
}

/// As upright axes have them.
fn heights(axis: &Axis, values: &[f64]) -> Vec<String> {
    axis.fit(values.iter().copied(), 200.0, 0.0).ticks().into_iter().map(|(_, label)| label).collect()
}

#[test]
fn linear_ticks_are_round_and_begin_at_zero() {
    let rates = Axis::linear("rate", Unit::Count);
    assert_eq!(heights(&rates, &[100_000.0, 98_000.0]), ["0", "20k", "40k", "60k", "80k", "100k"]);
    assert_eq!(heights(&rates, &[1_234_567.0]), ["0", "500k", "1M", "1.5M"]);
    assert_eq!(heights(&rates, &[3.0]), ["0", "1", "2", "3"]);
    assert_eq!(heights(&rates, &[0.0]), ["0", "1"]);
    let memory = Axis::linear("memory", Unit::Bytes);
    assert_eq!(
        heights(&memory, &[25.0 * 1_048_576.0]),
        ["0 B", "5 MiB", "10 MiB", "15 MiB", "20 MiB", "25 MiB"]
    );
    let busy = Axis::linear("busy", Unit::Share).covering(&[1.0]);
    assert_eq!(heights(&busy, &[0.3]), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]);
}

#[test]
fn time_begins_where_the_points_do() {
    let time = Axis::linear("time", Unit::Seconds);
    assert_eq!(ticks(&time, &[1.3, 11.4]), ["2 s", "4 s", "6 s", "8 s", "10 s"]);
    assert_eq!(ticks(&time, &[0.0, 0.25]), ["0 s", "0.05 s", "0.1 s", "0.15 s", "0.2 s", "0.25 s"]);
    assert_eq!(ticks(&time, &[0.0, 900.0]), ["0 min", "5 min", "10 min", "15 min"]);
    assert_eq!(ticks(&time, &[0.0, 36_000.0]), ["0 h", "2 h", "4 h", "6 h", "8 h", "10 h"]);
}

#[test]
fn logarithmic_ticks_are_powers_of_ten() {
    let latency = Axis::log("latency", Unit::Nanoseconds);
    assert_eq!(
        ticks(&latency, &[1_500.0, 2.5e9]),
        ["1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"]
    );
    assert_eq!(ticks(&latency, &[12_000.0, 80_000.0]), ["10 us", "20 us", "50 us", "100 us"]);
    assert_eq!(ticks(&latency, &[7_000.0]), ["5 us", "10 us"]);
    assert_eq!(ticks(&latency, &[0.0]), ["1 ns", "2 ns", "5 ns", "10 ns"]);
}

#[test]
fn each_further_nine_takes_as_much_room() {
    let axis = Axis::percentile("percentile");
    let scale = axis.fit([0.0, 0.99999].into_iter(), 0.0, 500.0);
    let ticks = scale.ticks();
    let labels: Vec<&str> = ticks.iter().map(|(_, label)| label.as_str()).collect();
    assert_eq!(labels, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"]);
    let places: Vec<f64> = ticks.iter().map(|(value, _)| scale.place(*value).round()).collect();
    assert_eq!(places, [0.0, 30.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
}

#[test]
fn values_stand_where_the_scale_says() {
    let linear = Axis::linear("rate", Unit::Count).fit([10.0].into_iter(), 200.0, 100.0);
    assert_eq!([0.0, 5.0, 10.0, 99.0].map(|value| linear.place(value)), [200.0, 150.0, 100.0, 100.0]);
    assert!(linear.place(f64::NAN).is_nan());
    let log = Axis::log("time", Unit::Nanoseconds).fit([1e3, 1e6].into_iter(), 0.0, 300.0);
    assert_eq!([0.0, 1e3, 1e4, 1e6].map(|value| log.place(value).round()), [0.0, 0.0, 100.0, 300.0]);
}

#[test]
fn lines_have_gaps_where_nothing_is_known() {
    let points = vec![(0.0, 5.0), (1.0, 10.0), (2.0, f64::NAN), (3.0, 0.0), (4.0, 10.0)];
    let line = plot(vec![Series::new("a", Shape::Line, points.clone())]).svg();
    assert!(
        line.contains(r#"<path class="line s0" d="M64.0 123.0L159.0 28.0M349.0 218.0L444.0 28.0"/>"#),
        "{line}"
    );
    let steps = plot(vec![Series::new("a", Shape::Steps, points)]).svg();
    assert!(
        steps.contains(r#"<path class="line s0" d="M64.0 123.0H159.0V28.0H254.0M349.0 218.0H444.0"/>"#),
        "{steps}"
    );
}

#[test]
fn bars_reach_to_the_next_one() {
    let points = vec![(0.0, 5.0), (2.0, 0.0), (3.0, 10.0), (4.0, f64::NAN)];
    let svg = plot(vec![Series::new("a", Shape::Bars, points)]).svg();
    let bars: Vec<&str> = svg.lines().filter(|line| line.starts_with("<rect class=\"bar")).collect();
    assert_eq!(
        bars,
        [
            r#"<rect class="bar s0" x="64.0" y="123.0" width="189.0" height="95.0"/>"#,
            r#"<rect class="bar s0" x="349.0" y="28.0" width="94.0" height="190.0"/>"#,
        ]
    );
}

#[test]
fn several_series_have_a_legend_and_dashes() {
    let one = vec![(0.0, 1.0), (1.0, 2.0)];
    let named = |name| Series::new(name, Shape::Line, one.clone());
    let svg = plot(vec![named("first"), named("second"), Series::new("", Shape::Points, one.clone())]).svg();
    assert!(
        svg.contains(r#"<path class="line s1" d="M89 27h26"/><text x="121" y="31">second</text>"#),
        "{svg}"
    );
    assert_eq!(svg.matches("<circle class=\"point s0\"").count(), 2, "they belong to the first");
    let alone = plot(vec![named("first")]).svg();
    assert!(!alone.contains(">first</text>"), "{alone}");
    for number in 1..6 {
        let dashes =
            STYLE.lines().find(|line| line.starts_with(&format!("svg .s{number} "))).expect("a rule");
        assert!(dashes.contains("stroke-dasharray"), "{dashes}");
    }
}

#[test]
fn labels_do_not_run_into_each_other() {
    let mut plot = plot(vec![Series::new("a", Shape::Line, vec![(0.0, 1.0), (0.999_999_9, 2.0)])]);
    plot.x = Axis::percentile("percentile");
    let svg = plot.svg();
    // Seven nines have no room for all their labels.
    assert!(svg.contains(">99.9 %<") && !svg.contains(">99.9999 %<"), "{svg}");
    assert_eq!(svg.matches("class=\"grid\" d=\"M").count(), 9 + 3, "their lines are all there");
}

#[test]
fn marks_are_named() {
    let mut plot = plot(vec![Series::new("a", Shape::Line, vec![(0.0, 1.0), (10.0, 2.0)])]);
    plot.marks = vec![
        Mark::Band { from: 0.0, to: 5.0, label: "warm-up".into() },
        Mark::Band { from: 5.0, to: 5.1, label: "too short for a name".into() },
        Mark::Vertical { x: 8.0, label: "knee".into() },
        Mark::Vertical { x: 8.116, label: "close to it".into() },
        Mark::Horizontal { y: 4.0, label: "objective".into() },
    ];
    let svg = plot.svg();
    assert!(svg.contains(">warm-up</text>") && !svg.contains("too short"), "{svg}");
    assert!(
        svg.contains(r#"<text class="marked" x="364.0" y="40.0" text-anchor="end">knee</text>"#),
        "{svg}"
    );
    assert!(
        svg.contains(r#"<text class="marked" x="368.4" y="55.0" text-anchor="end">close to it</text>"#),
        "{svg}"
    );
    // The axis reaches the objective.
    assert!(svg.contains(r#"<path class="mark" d="M64 28.0H444"/>"#), "{svg}");
    assert!(
        svg.contains(r#"<text class="marked" x="444.0" y="42.0" text-anchor="end">objective</text>"#),
        "{svg}"
    );
}

#[test]
fn pointing_at_a_place_tells_its_values() {
    let points = vec![(0.0, 1_234.0), (1.0, f64::NAN), (2.0, 2_000.0), (3.0, f64::NAN)];
    let svg = plot(vec![Series::new("a", Shape::Steps, points)]).svg();
    let hints: Vec<&str> = svg.lines().filter(|line| line.contains("class=\"hint\"")).collect();
    assert_eq!(hints.len(), 2);
    assert!(hints[0].ends_with("<title>0 s: 1,234</title></rect>"), "{}", hints[0]);
    assert!(hints[1].ends_with("<title>2 s: 2,000</title></rect>"), "{}", hints[1]);
}

#[test]
fn text_from_outside_is_escaped() {
    assert_eq!(
        escape("<a href=\"x\">&'\u{7}</a>\n"),
        "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}&lt;/a&gt;\n"
    );
    let figure = plot(vec![Series::new("<b>", Shape::Line, vec![(0.0, 1.0)])]).figure();
    assert!(figure.contains("<figcaption>Title &lt;&amp;&gt;</figcaption>"), "{figure}");
    assert!(figure.contains(r#"aria-label="Title &lt;&amp;&gt;: it &quot;rises&quot;">"#), "{figure}");
    assert!(!figure.contains("<b>"), "{figure}");
}

#[test]
fn nothing_to_show_is_said() {
    let figure = plot(vec![Series::new("a", Shape::Line, vec![(0.0, f64::NAN)])]).figure();
    assert_eq!(
        figure,
        "<figure><figcaption>Title &lt;&amp;&gt;</figcaption><p class=\"none\">no data</p></figure>\n"
    );
}
