#!/usr/bin/env python3
"""Counts the instructions of the server's hot parts with callgrind and compares them with baseline.json.

Counts do not depend on what else the machine does, so a case that grew by more than 5 % was made slower by a change of ours,
or deserves a look. Exit code 0: none grew. 1: one did, or cases and baseline don't match. 2: it could not be measured.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASELINE = HERE / "baseline.json"

# What a case may grow or shrink by without a word, in percent.
TOLERANCE = 5
# Runs of each case: the count is their mean.
RUNS = 100
# What is counted, in main.rs.
COLLECTED = "collect_instructions"


def main():
    arguments = parse_arguments()
    if arguments.self_test:
        return self_test()
    if shutil.which("valgrind") is None:
        return give_up("valgrind is missing: apt-get install valgrind")
    binary, outputs = build()
    counts = {case: count(binary, case, outputs) for case in cases(binary)}
    environment = this_environment()
    if arguments.accept:
        accept(environment, counts)
        return 0
    if not BASELINE.exists():
        return give_up(f"{BASELINE} is missing: write it with --accept")
    baseline = json.loads(BASELINE.read_text())
    rows = compare(baseline["instructions"], counts, differences(baseline["environment"], environment))
    report(rows, differences(baseline["environment"], environment), outputs)
    return 1 if any(row.is_failure() for row in rows) else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="write what is counted now as the new baseline")
    parser.add_argument("--self-test", action="store_true", help="test the comparison itself, without counting")
    return parser.parse_args()


# Counting --------------------------------------------------------------------------------------------------------


def build():
    """The release build of the whole workspace, which the tests have made already; its parts alone would be built with other
    features. Gives the binary, and where callgrind's files go."""
    command = ["cargo", "build", "--release", "--workspace", "--locked", "--quiet"]
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        sys.exit(give_up("the release build failed"))
    metadata = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    target = Path(json.loads(output_of(metadata))["target_directory"])
    outputs = target / "instructions"
    outputs.mkdir(exist_ok=True)
    return target / "release" / "instructions", outputs


def cases(binary):
    return output_of([binary, "--list"]).split()


def count(binary, case, outputs):
    file = outputs / f"{case}.out"
    output_of([
        "valgrind", "--tool=callgrind", "--quiet", f"--toggle-collect=*{COLLECTED}*", f"--callgrind-out-file={file}",
        binary, case, str(RUNS),
    ])
    total = re.search(r"^(?:totals|summary): (\d+)", file.read_text(), re.MULTILINE)
    if total is None or int(total[1]) == 0:
        sys.exit(give_up(f"callgrind counted nothing in {COLLECTED} of {case}: is the function still there?"))
    return round(int(total[1]) / RUNS)


def output_of(command):
    finished = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(give_up(f"failed: {' '.join(map(str, command))}"))
    return finished.stdout


def this_environment():
    """Whatever the counts depend on besides our code. valgrind shows programs a CPU without AVX-512."""
    rustc = dict(line.split(": ", 1) for line in output_of(["rustc", "-vV"]).splitlines()[1:] if ": " in line)
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "rustc": f"{rustc['release']} ({rustc['commit-hash'][:9]})",
        "target": rustc["host"],
        "avx2": flags is not None and "avx2" in flags[1].split(),
        "libc": os.confstr("CS_GNU_LIBC_VERSION"),
    }


def accept(environment, counts):
    BASELINE.write_text(json.dumps({"environment": environment, "instructions": counts}, indent=2) + "\n")
    print(f"{len(counts)} cases written to {BASELINE.relative_to(ROOT)}; say in the commit why they changed")


# Comparing -------------------------------------------------------------------------------------------------------


class Row:
    def __init__(self, case, before, now, verdict):
        self.case, self.before, self.now, self.verdict = case, before, now, verdict

    def change(self):
        """In percent."""
        return 100 * (self.now - self.before) / self.before

    def is_failure(self):
        return self.verdict in ("GREW", "NOT IN BASELINE", "GONE")

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"Row{tuple(vars(self).values())}"


def differences(baseline, now):
    """In what the environment differs from the baseline's, for people."""
    return [f"{key} is {now.get(key)}, the baseline's {baseline.get(key)}" for key in now if now[key] != baseline.get(key)]


def compare(baseline, counts, differences):
    rows = []
    for case, now in counts.items():
        before = baseline.get(case)
        # In whole numbers, so that exactly 5 % is within the tolerance.
        if before is None:
            verdict = "NOT IN BASELINE"
        elif abs(now - before) * 100 <= before * TOLERANCE:
            verdict = "ok"
        elif differences:
            verdict = "SKIPPED"
        else:
            verdict = "GREW" if now > before else "better"
        rows.append(Row(case, before, now, verdict))
    rows += [Row(case, before, None, "GONE") for case, before in baseline.items() if case not in counts]
    return rows


def report(rows, differences, outputs):
    print(f"{'case':<18} {'baseline':>10} {'now':>10} {'change':>9}  instructions")
    for row in rows:
        before, now = ("-" if value is None else f"{value:,}" for value in (row.before, row.now))
        change = "" if None in (row.before, row.now) else f"{row.change():+.1f} %"
        print(f"{row.case:<18} {before:>10} {now:>10} {change:>9}  {row.verdict}")
    print()
    for row in rows:
        if row.verdict == "GREW":
            print(
                f"FAILED: {row.case} executes {row.change():.1f} % more instructions than its baseline: {row.now:,} instead of"
                f" {row.before:,}; {TOLERANCE} % are tolerated.\n"
                f"  where:  callgrind_annotate --auto=yes {outputs / row.case}.out\n"
                f"          (the same of the commit before, beside it, shows what is new)\n"
                f"  accept: if it is worth that, benches/instructions/run.py --accept, and say why in the commit"
            )
        elif row.verdict == "better":
            print(
                f"better: {row.case} executes {-row.change():.1f} % fewer instructions than its baseline. Accept it so that it"
                " stays: benches/instructions/run.py --accept"
            )
        elif row.verdict == "NOT IN BASELINE":
            print(f"FAILED: {row.case} is not in the baseline: benches/instructions/run.py --accept")
        elif row.verdict == "GONE":
            print(f"FAILED: {row.case} is in the baseline, but is no case any more: benches/instructions/run.py --accept")
    skipped = sum(row.verdict == "SKIPPED" for row in rows)
    if skipped:
        print(f"SKIPPED {skipped} of {len(rows)}, because their counts may differ for that reason: {'; '.join(differences)}")
    failed = sum(row.is_failure() for row in rows)
    print(f"{len(rows) - failed - skipped} cases passed, {failed} failed, {skipped} skipped")


def give_up(reason):
    print(f"benches/instructions/run.py: {reason}", file=sys.stderr)
    return 2


# Its own tests ---------------------------------------------------------------------------------------------------


class Comparison(unittest.TestCase):
    def verdicts(self, baseline, counts, differences=()):
        return {row.case: row.verdict for row in compare(baseline, counts, differences)}

    def test_five_percent_are_tolerated_and_no_instruction_more(self):
        for now, verdict in [(1000, "ok"), (1050, "ok"), (1051, "GREW"), (950, "ok"), (949, "better")]:
            self.assertEqual(self.verdicts({"a": 1000}, {"a": now}), {"a": verdict}, now)

    def test_each_case_is_judged_alone(self):
        self.assertEqual(self.verdicts({"a": 100, "b": 100}, {"a": 300, "b": 20}), {"a": "GREW", "b": "better"})

    def test_a_case_on_one_side_only_fails(self):
        rows = compare({"a": 100, "old": 7}, {"a": 100, "new": 9}, [])
        self.assertEqual(rows, [Row("a", 100, 100, "ok"), Row("new", None, 9, "NOT IN BASELINE"), Row("old", 7, None, "GONE")])
        self.assertEqual([row.is_failure() for row in rows], [False, True, True])

    def test_only_growth_and_a_missing_case_fail(self):
        failing = [v for v in ("ok", "better", "SKIPPED", "GREW", "GONE") if Row("a", 1, 1, v).is_failure()]
        self.assertEqual(failing, ["GREW", "GONE"])

    def test_another_compiler_skips_what_differs_and_only_that(self):
        baseline = {"rustc": "1.95.0 (597...)", "target": "x86_64-unknown-linux-gnu"}
        now = {"rustc": "1.96.0 (abc...)", "target": "x86_64-unknown-linux-gnu"}
        self.assertEqual(differences(baseline, now), ["rustc is 1.96.0 (abc...), the baseline's 1.95.0 (597...)"])
        self.assertEqual(differences(baseline, dict(baseline)), [])
        verdicts = self.verdicts({"a": 100, "b": 100, "c": 100}, {"a": 104, "b": 200, "c": 50}, differences(baseline, now))
        self.assertEqual(verdicts, {"a": "ok", "b": "SKIPPED", "c": "SKIPPED"})


def self_test():
    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Comparison))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
