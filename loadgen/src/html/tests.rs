use crate::report::{Histograms, Report, sample};

fn html(report: &Report) -> String {
    report.to_html().expect("histograms that were encoded here")
}

#[test]
fn the_page_stands_alone() {
    let page = html(&sample::report());
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    for outside in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "href="] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("name=\"viewport\"") && page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("@media print") && page.ends_with("</html>\n"));
}

#[test]
fn verdict_and_reasons_come_first() {
    let page = html(&sample::report());
    let verdict =
        page.find("&#10007;</span> not valid; generator-limited: no</p>").expect("the verdict in words");
    let reason = page.find("<li>10 deliveries were lost</li>").expect("the reasons");
    let figures = page.find("<dl class=\"figures\">").expect("the figures");
    assert!(verdict < reason && reason < figures);
    let mut report = sample::report();
    report.verdict.valid = true;
    report.verdict.reasons.clear();
    let page = html(&report);
    assert!(page.contains("&#10003;</span> valid; generator-limited: no</p>") && !page.contains("<li>"));
}

#[test]
fn every_plot_says_in_words_what_it_shows() {
    let page = html(&sample::report());
    let labels: Vec<&str> =
        page.split("role=\"img\" aria-label=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(
        labels,
        [
            "Latency by percentile: the median is 123 us, 99 % are below 1.23 ms, the longest is 1.50 s",
            "Latency over time: the longest, 1.50 s, arrived after 11.3 s",
            "Deliveries over time: 99,999/s on average",
            "Messages published over time: 100/s on average",
            "Processor over time: the generator&#39;s threads used 42 % of a core; the server used 32 %, its cores were busy 45 %",
            "Memory over time: the server ends with 5.0 MiB",
            "Latencies: half of the deliveries took at most 123 us, 99 % at most 1.23 ms",
            "Spread over subscribers: from the first to the last subscriber half of the messages took at most 1.23 us, 99 % at \
             most 12.3 us",
            "The generator&#39;s own delays: 99 % of the messages were sent at most 1.23 us late, 1.23 us by the generator&#39;s \
             own fault",
            "Handshake by percentile: the median is 123 us, 99 % are below 1.23 ms, the longest is 1.50 s",
            "Connections over time: 1,000 of 1,001 were open after 0.25 s",
            "Connects per second while connecting: 4,000/s on average",
        ]
    );
}

#[test]
fn figures_and_tables_have_the_reports_values() {
    let page = html(&sample::report());
    assert!(page.contains("<dt>Deliveries</dt><dd>99,999/s<small>6.4 MB/s</small></dd>"), "{page}");
    assert!(page.contains("<dt>Lost</dt><dd>10<small>of 1,000,000</small></dd>"));
    assert!(
        page.contains(
            "<dt>Server's memory</dt><dd>1049 B<small>a connection; 5.0 MiB at the end</small></dd>"
        )
    );
    let row = "<tr><th scope=\"row\">from intended<small>From the time a message was due to its arrival</small></th>\
               <td>78.0 us</td><td>123 us</td><td>456 us</td><td>1.23 ms</td><td>45.7 ms</td><td>1.50 s</td><td>999,990</td></tr>";
    assert!(page.contains(row));
    assert!(page.contains("corecast-load, 2026-11-20 22:00:00 UTC"));
    let interval = "<tr><th scope=\"row\">6.30 s</th><td>measure</td><td>1,000</td><td>250</td><td>0</td><td>-</td><td>-</td>\
                    <td>-</td><td>45 %</td><td>5.0 MiB</td><td>42 %</td><td>20.0 MiB</td></tr>";
    assert!(page.contains(interval));
    assert!(page.contains("verdict: not valid; generator-limited: no\n</pre>"), "what the terminal shows");
}

#[test]
fn what_others_named_is_escaped() {
    let mut report = sample::report();
    let evil = "<script>alert('x')</script>\"&";
    report.setup.url = evil.into();
    report.setup.publish_url = evil.into();
    report.setup.preset = evil.into();
    report.setup.message_kind = evil.into();
    report.setup.host.cpu_model = evil.into();
    report.setup.command_line = vec![evil.into()];
    report.connect.failures[0].reason = evil.into();
    report.verdict.reasons = vec![evil.into()];
    report.version = evil.into();
    report.commit = evil.into();
    let page = html(&report);
    assert!(!page.contains("<script") && !page.contains("alert('x')"), "{page}");
}

#[test]
fn a_report_with_little_in_it_still_has_a_page() {
    let mut report = sample::report();
    report.server = None;
    report.kernel = None;
    report.timeline.clear();
    report.histograms = Histograms::default();
    report.latency.from_intended = None;
    report.latency.from_sent = crate::report::Percentiles::default();
    report.setup.began_unix_ms = 0;
    let page = html(&report);
    assert_eq!(page.matches("<p class=\"none\">no data</p>").count(), 12);
    assert!(page.contains("corecast-load, at an unknown time"));
    assert!(!page.contains("NaN"), "{page}");
}

#[test]
fn no_picture_has_places_that_are_no_numbers() {
    let page = html(&sample::report());
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}
