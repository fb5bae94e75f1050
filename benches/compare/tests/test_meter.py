"""What is read from the kernel's texts."""

from unittest import TestCase

from compare.meter import Account, Ticks, connections_of, longest_wait_ns, ran_ns
from compare.runs import unrest_share

STAT = """\
cpu  9 9 9 9 9 9 9 9 0 0
cpu0 1 2 3 1000 2000 4 5 6 0 0
cpu10 7 0 0 0 0 0 0 0 0 0
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:2329 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:D431 0100007F:2329 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0100007F:2329 0100007F:D432 06 00000000:00000000 00:00000000 00000000     0        0 0 1
"""


class TicksTest(TestCase):
    def test_idle_waiting_and_stolen_time_is_not_busy(self):
        self.assertEqual(Ticks.parse(STAT, 0), Ticks(busy=15, idle=3000, steal=6))
        self.assertEqual(Ticks.parse(STAT, 10), Ticks(busy=7, idle=0, steal=0))

    def test_a_core_that_is_not_there_is_an_error(self):
        with self.assertRaises(LookupError):
            Ticks.parse(STAT, 1)

    def test_shares_are_parts_of_all_ticks_between_two_readings(self):
        spent = Ticks(180, 230, 20) - Ticks(100, 200, 10)
        self.assertEqual(spent, Ticks(80, 30, 10))
        self.assertAlmostEqual(spent.busy_share, 80 / 120)
        self.assertAlmostEqual(spent.steal_share, 10 / 120)

    def test_no_time_is_no_share(self):
        self.assertEqual(Ticks(0, 0, 0).busy_share, 0)


class ConnectionsTest(TestCase):
    def test_only_established_ones_of_the_servers_side_count(self):
        self.assertEqual(connections_of(TCP, 0x2329), 1)
        self.assertEqual(connections_of(TCP, 80), 0)


class AccountTest(TestCase):
    BEFORE = {1: Account(ran=1_000, waited=100), 2: Account(ran=500, waited=50)}
    AFTER = {1: Account(ran=1_400, waited=130), 2: Account(ran=500, waited=90), 3: Account(ran=7, waited=20)}

    def test_the_thread_that_waited_longest_counts(self):
        self.assertEqual(longest_wait_ns(self.BEFORE, self.AFTER), 40)

    def test_all_threads_ran(self):
        self.assertEqual(ran_ns(self.BEFORE, self.AFTER), 407)

    def test_a_process_that_is_gone_waited_for_nothing(self):
        self.assertEqual(longest_wait_ns(self.BEFORE, {}), 0)


class UnrestTest(TestCase):
    QUARTER_SECOND = Ticks(busy=25, idle=0, steal=0)

    def test_a_server_that_looks_for_work_does_not_disturb_itself(self):
        self.assertAlmostEqual(unrest_share(self.QUARTER_SECOND, 240_000_000), 0.04)

    def test_what_others_had_of_its_core_is_unrest(self):
        self.assertAlmostEqual(unrest_share(self.QUARTER_SECOND, 100_000_000), 0.6)
        self.assertAlmostEqual(unrest_share(Ticks(busy=5, idle=20, steal=0), 0), 0.2)

    def test_ticks_may_be_fewer_than_the_time_they_sample(self):
        self.assertEqual(unrest_share(Ticks(busy=0, idle=25, steal=0), 3_000_000), 0)
        self.assertEqual(unrest_share(Ticks(0, 0, 0), 0), 0)
