"""Waiting for a condition, never for a time."""

import time

# Far longer than anything takes, so that only a real fault reaches it.
DEADLINE_SECONDS = 15


def eventually(condition, what, seconds=DEADLINE_SECONDS):
    """Asks until `condition` gives something true, which is returned; fails naming `what` and the last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {seconds} s for {what}; last seen: {answer!r}"
        time.sleep(0.01)
