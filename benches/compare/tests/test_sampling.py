"""Medians, spreads, ratios and verdicts."""

from unittest import TestCase

from compare.sampling import FAILED, NOT_RUN, PASSED, UNDECIDED, Spread, at_least, at_most, falls, ratios


class SpreadTest(TestCase):
    def test_spread_is_median_least_most_and_count(self):
        self.assertEqual(Spread.of([3, 1, 2]), Spread(2, 1, 3, 3))
        self.assertEqual(Spread.of([4, 1, 2, 3]), Spread(2.5, 1, 4, 4))

    def test_nothing_has_no_spread(self):
        self.assertIsNone(Spread.of([]))


class RatiosTest(TestCase):
    def test_ratios_are_formed_within_a_round(self):
        self.assertEqual(ratios({1: 6.0, 2: 9.0}, {1: 2.0, 2: 3.0}), {1: 3.0, 2: 3.0})

    def test_rounds_that_lack_one_of_both_are_left_out(self):
        self.assertEqual(ratios({1: 6.0, 2: 9.0}, {2: 3.0, 3: 1.0}), {2: 3.0})

    def test_nothing_is_divided_by_zero(self):
        self.assertEqual(ratios({1: 6.0}, {1: 0.0}), {})


class VerdictTest(TestCase):
    def test_passed_needs_the_whole_spread_on_the_good_side(self):
        self.assertEqual(at_most(0.9).verdict(Spread(0.8, 0.7, 0.9, 5)), PASSED)
        self.assertEqual(at_least(1.3).verdict(Spread(1.5, 1.3, 2.0, 5)), PASSED)

    def test_failed_needs_the_whole_spread_on_the_bad_side(self):
        self.assertEqual(at_most(0.9).verdict(Spread(1.0, 0.91, 1.1, 5)), FAILED)
        self.assertEqual(at_least(1.3).verdict(Spread(1.1, 1.0, 1.29, 5)), FAILED)

    def test_a_limit_inside_the_spread_is_undecided(self):
        self.assertEqual(at_most(0.9).verdict(Spread(0.8, 0.7, 0.91, 5)), UNDECIDED)
        self.assertEqual(at_least(1.3).verdict(Spread(1.4, 1.2, 1.5, 5)), UNDECIDED)

    def test_two_rounds_decide_nothing(self):
        self.assertEqual(at_most(0.9).verdict(Spread(0.1, 0.1, 0.1, 2)), UNDECIDED)
        self.assertEqual(at_most(0.9).verdict(Spread(0.1, 0.1, 0.1, 3)), PASSED)

    def test_without_figures_nothing_was_run(self):
        self.assertEqual(at_most(0.9).verdict(None), NOT_RUN)

    def test_limits_are_shown_with_their_side(self):
        self.assertEqual((str(at_most(0.9)), str(at_least(12))), ("≤ 0.9", "≥ 12"))


class FallsTest(TestCase):
    def test_each_step_is_held_against_the_best_before_it(self):
        curve = [("1", {1: 10.0}), ("4", {1: 40.0}), ("16", {1: 20.0}), ("64", {1: 30.0})]
        self.assertEqual(
            falls(curve),
            [
                ("4", "1", Spread(4.0, 4.0, 4.0, 1)),
                ("16", "4", Spread(0.5, 0.5, 0.5, 1)),
                ("64", "4", Spread(0.75, 0.75, 0.75, 1)),
            ],
        )

    def test_a_step_without_figures_is_left_out(self):
        self.assertEqual(
            falls([("1", {1: 10.0}), ("4", {}), ("16", {1: 20.0})]), [("16", "1", Spread(2.0, 2.0, 2.0, 1))]
        )
