"""Which runs are fitted and which are predicted, and how they are made."""

import re
from pathlib import Path
from unittest import TestCase

import check
from compare.peers import Binaries
from compare.runs import Timing

BINARIES = Binaries(Path("/built"), Path("/built"))


def of(part):
    return [run for run in check.RUNS if run.part == part]


def option(run, name, default):
    return run.options[run.options.index(name) + 1] if name in run.options else default


class RunsTest(TestCase):
    def test_names_are_unique_and_fit_into_file_names(self):
        names = [run.name for run in check.RUNS]
        self.assertEqual(len(set(names)), len(names))
        self.assertTrue(all(re.fullmatch("[a-z-]+", name) for name in names))

    def test_held_out_runs_are_larger_by_at_most_four_times(self):
        most = max(run.connections for run in of(check.FITTED))
        self.assertEqual(most, 5_000)
        for run in of(check.HELD_OUT):
            self.assertLessEqual(run.connections, 4 * most, run.name)
            self.assertLessEqual(int(option(run, "--topics", "1")), 4 * 10, run.name)
        self.assertEqual(max(run.connections for run in of(check.HELD_OUT)), 19_000)

    def test_no_run_is_both_fitted_and_held_out(self):
        fitted = {(run.connections, run.options) for run in of(check.FITTED)}
        self.assertFalse([run.name for run in of(check.HELD_OUT) if (run.connections, run.options) in fitted])

    def test_rates_are_out_of_step_with_the_ticks(self):
        for run in check.RUNS:
            rate = float(option(run, "--rate", "1.3"))
            # Neither divides the other: 100 ticks a second.
            self.assertNotAlmostEqual(rate % 100, 0, msg=run.name)
            self.assertNotAlmostEqual(100 % rate, 0, msg=run.name)


class CommandTest(TestCase):
    def test_server_and_generator_have_a_core_each(self):
        run = check.Run("thousand", check.FITTED, 1_000, ("--rate", "97.3"))
        command = check.command(run, BINARIES, 4000, 4001, 77, Path("a.json"), Timing(10.0, 2.0))
        self.assertEqual(command[:5], ["taskset", "-c", "1", "/built/corecast-load", "run"])
        text = " ".join(command)
        self.assertIn("--metrics http://127.0.0.1:4001/metrics --server-pid 77 --cores 1", text)
        self.assertIn("--duration 10000ms --warmup 2000ms", text)
        self.assertTrue(text.endswith("--subscribers 1000 --rate 97.3"))

    def test_all_rounds_are_evaluated(self):
        chosen = [run for run in check.RUNS if run.name in ("few", "full")]
        command = check.evaluation(chosen, BINARIES, Path("reports"), 2, Path("plan.json"))
        self.assertEqual(
            list(map(str, command)),
            [
                *("/built/corecast-load", "plan", "--runs", "reports/few.1.json", "reports/few.2.json"),
                *("--check", "reports/full.1.json", "reports/full.2.json", "--json", "plan.json"),
            ],
        )

    def test_a_report_that_is_there_is_not_made_again(self):
        made = []
        original, check.measure = check.measure, lambda run, *_: made.append(run.name)
        self.addCleanup(setattr, check, "measure", original)
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as name:
            folder = Path(name)
            for run in check.RUNS:
                run.file(folder, 1).touch()
            check.measure_all(check.RUNS, BINARIES, folder, 1, Timing(1.0, 1.0))
            self.assertEqual(made, [])


class OptionsTest(TestCase):
    def test_three_rounds_of_ten_seconds(self):
        options = check.parse(["--binaries", "/built"])
        self.assertEqual((options.rounds, options.duration, options.check), (3, 10.0, False))
