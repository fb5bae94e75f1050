"""Gates on rows that are made up."""

from unittest import TestCase

from compare import loads
from compare.gates import GATES, Results, judged
from compare.sampling import FAILED, NOT_RUN, PASSED, UNDECIDED


def row(load, entrant, number, limited=False, **figures):
    return {
        "round": number,
        "load": load,
        "entrant": entrant,
        "figures": figures,
        "problem": None,
        "lost": 0,
        "delivery_ratio": 1.0,
        "generator_limited": limited,
    }


def rows(load, entrant, figure, values, limited=False):
    return [row(load, entrant, number, limited, **{figure: value}) for number, value in enumerate(values, 1)]


def judgement(found, loads_run, begins):
    (one,) = (each for each in judged(Results(found), loads_run) if each.gate.startswith(begins))
    return one


class PeerGateTest(TestCase):
    LOAD = "fanout-1k-16"

    def verdict(self, ours, theirs, limited=None):
        found = rows(self.LOAD, "corecast", "deliveries_per_second", ours, limited == "corecast")
        found += rows(self.LOAD, "bun", "deliveries_per_second", theirs, limited == "bun")
        return judgement(found, [self.LOAD], self.LOAD).verdict

    def test_the_ratio_of_every_round_counts(self):
        self.assertEqual(self.verdict([4.0, 4.2, 6.0], [3.0, 3.0, 3.0]), PASSED)
        self.assertEqual(self.verdict([4.0, 3.8, 6.0], [3.0, 3.0, 3.0]), UNDECIDED)
        self.assertEqual(self.verdict([3.0, 3.1, 3.8], [3.0, 3.0, 3.0]), FAILED)

    def test_a_peers_rate_that_the_generator_bounded_is_not_beaten(self):
        self.assertEqual(self.verdict([4.0, 4.2, 6.0], [3.0, 3.0, 3.0], limited="bun"), UNDECIDED)
        self.assertEqual(self.verdict([3.0, 3.1, 3.8], [3.0, 3.0, 3.0], limited="bun"), FAILED)

    def test_a_peer_whose_core_was_full_too_is_reckoned_up_to_all_of_it(self):
        def judge(ours, busy_share):
            found = rows(self.LOAD, "corecast", "deliveries_per_second", ours)
            found += [
                row(self.LOAD, "bun", number, True, deliveries_per_second=3.0, core_busy_share=busy_share)
                for number in (1, 2, 3)
            ]
            return judgement(found, [self.LOAD], self.LOAD)

        passed = judge([4.2, 4.5, 6.0], 0.96)
        self.assertEqual((passed.verdict, passed.note), (PASSED, "bun reckoned up to all of its core"))
        self.assertAlmostEqual(passed.spread.low, 4.2 / 3.0 * 0.96)
        # 1.33 as read, 1.28 of what it could have done.
        self.assertEqual(judge([4.0, 4.5, 6.0], 0.96).verdict, UNDECIDED)
        self.assertEqual(judge([4.2, 4.5, 6.0], 0.94).verdict, UNDECIDED)
        self.assertEqual(judge([4.2, 4.5, 6.0], 0.94).note, "the generator was the limit of bun")

    def test_our_rate_that_the_generator_bounded_does_not_fail(self):
        self.assertEqual(self.verdict([4.0, 4.2, 6.0], [3.0, 3.0, 3.0], limited="corecast"), PASSED)
        self.assertEqual(self.verdict([3.0, 3.1, 3.8], [3.0, 3.0, 3.0], limited="corecast"), UNDECIDED)

    def test_without_the_peer_it_was_not_run(self):
        self.assertEqual(self.verdict([4.0, 4.2, 6.0], []), NOT_RUN)


class BestPeerTest(TestCase):
    def test_best_is_the_best_median_of_the_peers_only(self):
        found = rows("fanout-1k-1", "corecast", "cpu_ns", [1.0, 1.0, 1.0])
        found += rows("fanout-1k-1", "bun", "cpu_ns", [4.0, 2.0, 9.0])
        found += rows("fanout-1k-1", "nchan", "cpu_ns", [5.0, 3.0, 3.0])
        one = judgement(found, ["fanout-1k-1"], "fanout-1k-1: CPU")
        absent = "nchan, without ws, tokio-tungstenite, fastwebsockets"
        self.assertEqual((one.note, one.verdict), (absent, UNDECIDED))
        for peer in ("ws", "tokio-tungstenite", "fastwebsockets"):
            found += rows("fanout-1k-1", peer, "cpu_ns", [9.0, 9.0, 9.0])
        one = judgement(found, ["fanout-1k-1"], "fanout-1k-1: CPU")
        self.assertEqual((one.note, one.verdict), ("nchan", PASSED))
        self.assertEqual((one.spread.low, one.spread.high), (1 / 5, 1 / 3))


class CurveTest(TestCase):
    NAMES = [f"fanout-1k-{count}" for count in loads.IN_FLIGHT]

    def judge(self, *last, limited=False):
        curve = [[1.0] * 3, [2.0] * 3, [3.0] * 3, [6.0] * 3, [9.0] * 3, [10.0] * 3, list(last)]
        found = [
            each
            for load, values in zip(self.NAMES, curve, strict=True)
            for each in rows(load, "corecast", "deliveries_per_second", values, limited)
        ]
        return judgement(found, self.NAMES, "fanout-1k-1 to")

    def test_a_fall_that_every_round_shows_fails(self):
        one = self.judge(9.0, 9.5, 9.9)
        self.assertEqual((one.verdict, one.note), (FAILED, "falls: fanout-1k-4096 below fanout-1k-1024"))

    def test_a_fall_that_may_be_the_generators_is_undecided(self):
        self.assertEqual(self.judge(9.0, 9.5, 9.9, limited=True).verdict, UNDECIDED)

    def test_a_fall_within_the_spread_is_undecided(self):
        self.assertEqual(self.judge(9.0, 9.5, 10.0).verdict, UNDECIDED)
        self.assertEqual(self.judge(9.0, 10.0, 10.5).verdict, PASSED, "the median is none")
        self.assertEqual(self.judge(10.0, 10.5).verdict, UNDECIDED, "too few rounds")


class OtherGatesTest(TestCase):
    def test_lost_messages_fail(self):
        found = [row("open-1k-100", "corecast", number, p99_us=1.0) for number in (1, 2, 3)]
        self.assertEqual(judgement(found, ["open-1k-100"], "open-1k-100: messages lost").verdict, PASSED)
        found[1] |= {"lost": 3, "delivery_ratio": 0.99, "problem": "3 deliveries were lost", "figures": {}}
        one = judgement(found, ["open-1k-100"], "open-1k-100: messages lost")
        self.assertEqual((one.verdict, one.spread.high), (FAILED, 3))

    def test_a_run_that_broke_down_is_no_proof_that_nothing_was_lost(self):
        found = [row("open-1k-100", "corecast", number) for number in (1, 2, 3)]
        found.append({"round": 4, "load": "open-1k-100", "entrant": "corecast", "figures": {}, "problem": "it ended"})
        self.assertEqual(judgement(found, ["open-1k-100"], "open-1k-100: messages lost").verdict, FAILED)

    def test_nothing_passes_on_the_rounds_that_went_well_or_were_disturbed(self):
        found = rows("shards-two", "corecast", "cpu_ns", [1.0] * 3)
        found += rows("shards-two", "corecast, 2 shards", "cpu_ns", [1.0] * 3)
        self.assertEqual(judgement(found, ["shards-two"], "shards-two").verdict, PASSED)
        disturbed = [*found[:-1], found[-1] | {"steal_share": 0.03}]
        one = judgement(disturbed, ["shards-two"], "shards-two")
        self.assertEqual((one.verdict, one.note), (UNDECIDED, "1 runs were disturbed"))
        broken = {"round": 4, "load": "shards-two", "entrant": "corecast, 2 shards", "figures": {}, "problem": "it ended"}
        one = judgement([*found, broken], ["shards-two"], "shards-two")
        self.assertEqual((one.verdict, one.note), (UNDECIDED, "1 of our runs went wrong"))

    def test_a_ratio_to_a_rate_that_the_generator_bounded_does_not_pass(self):
        figure = "deliveries_per_second"
        small = rows("clamped-1k-16", "corecast, 16 KiB buffers", figure, [3.0] * 3)
        free = rows("clamped-1k-16", "corecast", figure, [4.0] * 3)
        bounded = rows("clamped-1k-16", "corecast", figure, [4.0] * 3, limited=True)
        self.assertEqual(judgement(small + free, ["clamped-1k-16"], "clamped-1k-16").verdict, PASSED)
        self.assertEqual(judgement(small + bounded, ["clamped-1k-16"], "clamped-1k-16").verdict, UNDECIDED)

    def test_flat_compares_the_most_with_the_least_of_a_round(self):
        names = ["cost-100", "cost-1k", "cost-10k", "cost-19k"]
        costs = ([4.0, 5.0, 4.0], [4.0, 5.0, 4.0], [4.4, 5.0, 4.0], [4.2, 6.0, 4.4])
        floors = ([4.0, 5.0, 4.0], [4.0, 4.0, 4.0], [4.0, 5.0, 4.0], [4.0, 6.0, 4.0])
        found = [
            row(name, "corecast", number, cpu_ns=cost, floor_ns=floor)
            for name, *columns in zip(names, costs, floors, strict=True)
            for number, (cost, floor) in enumerate(zip(*columns, strict=True), 1)
        ]
        alone, beside = judged(Results(found), names)
        self.assertEqual((alone.gate, alone.spread.low, alone.spread.high), ("cost-100 to -19k: CPU per delivery", 1.1, 1.2))
        self.assertEqual(alone.verdict, UNDECIDED)
        # In the second round a thousand cost 1.25 bare sends each, the others one.
        self.assertEqual((beside.spread.median, beside.spread.low, beside.spread.high), (1.1, 1.1, 1.25))
        self.assertEqual(beside.gate, "cost-100 to -19k: CPU per delivery / a bare send's")

    def test_the_generators_rate_is_the_best_of_three_loads(self):
        names = ["fanout-1k-64", "fanout-1k-256", "fanout-1k-1024"]
        best = ([11e6, 12e6, 13e6], [14e6, 11e6, 12e6], [1e6, 13e6, 1e6])
        found = [
            each
            for name, values in zip(names, best, strict=True)
            for each in rows(name, "corecast", "deliveries_per_second", values)
        ]
        one = judgement(found, names, "generator-rate")
        self.assertEqual((one.spread.median, one.spread.low, one.verdict), (13.0, 13.0, PASSED))

    def test_a_gate_is_judged_only_if_all_its_loads_were_asked_for(self):
        gates = [one.gate for one in judged(Results([]), ["cost-100", "shards-two"])]
        self.assertEqual(gates, ["shards-two: CPU per delivery / one shard's"])

    def test_many_topics_are_held_against_one(self):
        many = rows("topics-many", loads.MANY_TOPICS, "cpu_ns", [3_300, 2_800, 2_700])
        one = rows("topics-many", loads.ONE_TOPIC, "cpu_ns", [3_000, 2_800, 2_500])
        found = judgement(many + one, ["topics-many"], "topics-many")
        self.assertEqual((found.spread.median, found.spread.low, found.spread.high, found.verdict), (1.08, 1.0, 1.1, PASSED))

    def test_every_gate_has_its_loads(self):
        known = {load.name for load in loads.LOADS}
        self.assertEqual({name for gate in GATES for name in gate.needs} - known, set())
