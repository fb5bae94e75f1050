"""The order of runs, and how figures are shown."""

from unittest import TestCase

from compare import loads, page, plan, report
from compare.runs import stream_figures
from compare.sampling import Spread

MACHINE = {
    "kernel": "Linux 6.18",
    "cpu": "Example <CPU>",
    "cores": 2,
    "congestion_control": "cubic",
    "load_average": 0.25,
    "commit": "abc",
    "servers": {"corecast": "1.0", "bun": None},
    "command_line": ["benches/compare/run.sh"],
}
OPTIONS = {"loads": ["fanout-1k-16"], "servers": ["corecast", "bun"], "rounds": 3, "quick": False}


def row(entrant, number, rate, **more):
    figures = {"deliveries_per_second": rate, "cpu_ns": 1e9 / rate, "rusage_ns": 100.0, "core_busy_share": 1.0}
    return {
        "round": number,
        "load": "fanout-1k-16",
        "entrant": entrant,
        "figures": figures | {"p50_us": 12.0, "p99_us": 1500.0},
        "problem": None,
        "delivery_ratio": 1.0,
        "lost": 0,
        "generator_limited": False,
    } | more


def three(entrant, rate):
    return [row(entrant, number, rate) for number in (1, 2, 3)]


def found(rows, **more):
    return report.as_data(OPTIONS | more, MACHINE, None, [], rows, False)


class PlanTest(TestCase):
    def test_who_goes_first_changes_with_the_round(self):
        self.assertEqual(plan.order(1, ("a", "b", "c")), ("a", "b", "c"))
        self.assertEqual(plan.order(2, ("a", "b", "c")), ("b", "c", "a"))
        self.assertEqual(plan.order(4, ("a", "b", "c")), ("a", "b", "c"))

    def test_rounds_are_outside_of_loads(self):
        chosen = [loads.by_name("fanout-1k-4"), loads.by_name("cost-1k")]
        scheduled = plan.schedule(chosen, ["corecast", "bun"], 2)
        steps = [(number, load.name, entrant.name) for number, load, entrant in scheduled]
        self.assertEqual(
            steps,
            [
                (1, "fanout-1k-4", "corecast"),
                (1, "fanout-1k-4", "bun"),
                (1, "cost-1k", "corecast"),
                (2, "fanout-1k-4", "bun"),
                (2, "fanout-1k-4", "corecast"),
                (2, "cost-1k", "corecast"),
            ],
        )

    def test_loads_have_one_name_each(self):
        names = [load.name for load in loads.LOADS]
        self.assertEqual(len(names), len(set(names)))


class FiguresTest(TestCase):
    def test_cpu_is_divided_by_the_deliveries_of_the_measured_window(self):
        figures = stream_figures(
            {
                "throughput": {"deliveries_per_second": 1_000.0},
                "server": {"core_busy_seconds": 5.0, "cpu_seconds": 2.5, "core_busy_share": 0.5},
                "latency": {"from_intended": None, "from_sent": {"p50_ns": 2_000, "p99_ns": 3_000}},
                "setup": {"duration_ns": 10_000_000_000},
            }
        )
        self.assertEqual((figures["cpu_ns"], figures["rusage_ns"]), (500_000.0, 250_000.0))
        self.assertEqual((figures["p50_us"], figures["p99_us"]), (2.0, 3.0))


class TextTest(TestCase):
    def test_amounts_and_times_have_three_digits_and_a_unit(self):
        amounts = [report.amount(value) for value in (16.004e6, 3.5e6, 340_000, 12)]
        self.assertEqual(amounts, ["16.0 M", "3.50 M", "340 k", "12.0"])
        times = [report.time(value) for value in (62.8, 683, 3_360, 2.5e6, 3e9)]
        self.assertEqual(times, ["62.8 ns", "683 ns", "3.36 us", "2.50 ms", "3.00 s"])

    def test_a_spread_says_its_unit_once(self):
        self.assertEqual(report.spread_text(Spread(3e6, 2.9e6, 3.1e6, 5), report.amount), "3.00 M (2.90 to 3.10)")
        self.assertEqual(report.spread_text(Spread(1e6, 0.9e6, 1.1e6, 5), report.amount), "1.00 M (900 k to 1.10 M)")
        self.assertEqual(report.spread_text(Spread(3e6, 3e6, 3e6, 1), report.amount), "3.00 M")
        self.assertEqual(report.spread_text(None, report.amount), "-")

    def test_a_loss_is_never_rounded_away(self):
        shown = [report.delivered(ratio) for ratio in (1.0, 0.99999999, 0.5, None)]
        self.assertEqual(shown, ["100 %", "99.999 %", "50.000 %", "-"])

    def test_the_table(self):
        rows = three("corecast", 4e6) + three("bun", 2e6)
        lines = report.as_text(found(rows)).splitlines()
        self.assertEqual(lines[0], "fanout-1k-16: 1,000 subscribers, 16 in flight")
        headings = ["deliveries/s", "CPU/delivery", "by", "rusage", "core", "busy", "p50", "p99", "delivered"]
        self.assertEqual(lines[1].split(), headings)
        self.assertEqual(
            [" ".join(line.split()) for line in lines[2:4]],
            [
                "corecast 4.00 M (4.00 to 4.00) 250 ns (250 to 250) 100 ns (100 to 100) 100% "
                "12.0 us (12.0 to 12.0) 1.50 ms (1.50 to 1.50) 100 %",
                "bun 2.00 M (2.00 to 2.00) 500 ns (500 to 500) 100 ns (100 to 100) 100% "
                "12.0 us (12.0 to 12.0) 1.50 ms (1.50 to 1.50) 100 %",
            ],
        )
        self.assertEqual({len(line) for line in lines[1:4]}, {len(lines[1])})
        self.assertIn("  fanout-1k-16: deliveries/s / bun's   ≥ 1.3    2.000   2.000   2.000   passed", lines)

    def test_a_bare_send_is_shown_where_it_was_measured(self):
        rows = three("corecast", 4e6)
        for each in rows:
            each["figures"] = each["figures"] | {"floor_ns": 240.0}
        lines = report.as_text(found(rows)).splitlines()
        self.assertIn("bare send   core busy", lines[1])
        self.assertIn("240 ns (240 to 240)", lines[2])

    def test_a_run_that_lost_messages_is_marked_and_not_used(self):
        lossy = row("bun", 2, 9e6, figures={}, problem="5 deliveries were lost", delivery_ratio=0.9, lost=5)
        text = report.as_text(found([row("bun", 1, 2e6), lossy]))
        self.assertIn("bun: NOT USED (round 2): 5 deliveries were lost", text)
        self.assertIn("90.000 %", text)
        self.assertNotIn("9.00 M", text)


class NotesTest(TestCase):
    def test_what_disturbed_is_counted(self):
        runs = [row("bun", 1, 2e6, waiting_share=0.2), row("bun", 2, 2e6, waiting_share=0.11, generator_limited=True)]
        self.assertEqual(
            report.notes([*runs, row("bun", 3, 2e6, waiting_share=0.09, steal_share=0.03, unrest_share=0.5)]),
            [
                "in 1 of 3 runs the generator was the limit: no less than this, and no latencies from them",
                "in 1 of 3 runs the core was busy before anything was asked of the server, up to 50%",
                "in 2 of 3 runs a thread waited for the core, up to 20% of the time: was it alone there?",
                "in 1 of 3 runs up to 3% of the core went to other guests of the host",
            ],
        )

    def test_the_same_reason_is_said_once(self):
        runs = [{"round": number, "figures": {}, "skipped": "nginx is not installed"} for number in (1, 2)]
        self.assertEqual(report.notes(runs), ["SKIPPED: nginx is not installed"])


class StatusTest(TestCase):
    def status(self, ours, **more):
        rows = three("corecast", ours) + three("bun", 2e6)
        rows[-1] |= more
        return found(rows)["status"]

    def test_it_tells_what_was_worst(self):
        self.assertEqual(self.status(4e6), 0)
        self.assertEqual(self.status(2e6), 2)
        self.assertEqual(self.status(4e6, figures={}, problem="5 deliveries were lost"), 1)
        # A round less: nothing is decided, and nothing went wrong.
        rows = [row(entrant, number, 4e6) for entrant in ("corecast", "bun") for number in (1, 2)]
        self.assertEqual(found(rows)["status"], 3)


class PageTest(TestCase):
    def test_the_page_needs_no_other_file_and_escapes_what_it_shows(self):
        html = page.render(found(three("corecast", 4e6)))
        self.assertIn("Example &lt;CPU&gt;", html)
        for mark in ("http://", "https://", "<link", "<script", "src=", "@import", "url("):
            self.assertNotIn(mark, html)
        self.assertTrue(html.startswith("<!doctype html>"))
