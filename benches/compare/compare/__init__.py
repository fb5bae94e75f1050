"""Runs the same work on corecast and on other WebSocket servers, in turn, and judges the result.

loads.py     what is run: the list of loads, as data
peers.py     how each server is started, stopped and addressed
meter.py     what the kernel says: busy ticks of a core, memory of a process, who else is running
runs.py      one server under one load
sampling.py  median, spread, ratios, verdicts
gates.py     what is judged, over which loads, with which limit
plan.py      rounds: every server once on every load, in a new order each time
report.py    the table; page.py: the same as a page
check.py     whether every server delivers at all
"""
