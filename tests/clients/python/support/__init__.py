"""What the tests share: a server process, raw HTTP, raw frames, waiting for conditions."""
