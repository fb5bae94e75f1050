"""The command line: subcommands, settings from three places, and mistakes, all told at once."""

import json
import os
import re
import socket
import tomllib

import pytest
from support.process import REPOSITORY, run

CONFIG = REPOSITORY / "server" / "config.toml"


def test_version_names_the_commit():
    answer = run("--version")
    assert answer.returncode == 0
    assert re.fullmatch(r"corecast \d+\.\d+\.\d+ \(commit ([0-9a-f]{7,40}|unknown)\)\n", answer.stdout)


def test_help_names_subcommands_and_every_key_of_the_example():
    answer = run("--help")
    assert answer.returncode == 0
    for word in ["serve", "doctor", "budget", "check-config", "Examples:", "CORECAST_"]:
        assert word in answer.stdout
    keys = tomllib.loads(re.sub("(?m)^#(?=[a-z_]+ = )", "", CONFIG.read_text())).keys()
    assert len(keys) > 20
    for key in keys:
        assert f"--{key.replace('_', '-')}" in answer.stdout, key


@pytest.mark.parametrize("arguments", [["--no-such-flag"], ["no-such-command"], ["serve", "--listen"]])
def test_wrong_usage_is_exit_2(arguments):
    answer = run(*arguments)
    assert answer.returncode == 2
    assert arguments[-1] in answer.stderr and answer.stdout == ""


def test_all_mistakes_are_told_at_once(tmp_path):
    file = tmp_path / "corecast.toml"
    file.write_text('max_topics = "many"\nlisten = ["127.0.0.1:9001"]\n\nmax_conections = 7\nping_interval = "3 parsecs"\n')
    answer = run(
        "serve",
        "--config",
        str(file),
        "--max-message-bytes",
        "12 apples",
        "--lag-policy",
        "ignore",
        CORECAST_LOG_BYTES="lots",
        CORECAST_DRAIN_TIMEOUT="-1s",
    )
    assert answer.returncode == 2
    for place in [
        f"{file}:1:14: max_topics",
        f"{file}:4:1: max_conections",
        f"{file}:5:17: ping_interval",
        "--max-message-bytes",
        "--lag-policy",
        "CORECAST_LOG_BYTES",
        "CORECAST_DRAIN_TIMEOUT",
    ]:
        assert place in answer.stderr, (place, answer.stderr)
    assert "did you mean max_connections?" in answer.stderr
    assert "expected disconnect, skip or skip-silent" in answer.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--topic-log-bytes", "512KiB"], ["topic_log_bytes", "max_message_bytes"]),
        (["--topic-log-bytes", "128MiB"], ["log_bytes"]),
        (["--max-connections", "16777216"], ["max-connections"]),
        (["--max-connections", "0"], ["max-connections"]),
        (["--receive-buffers", "500"], ["receive-buffers", "power of two"]),
        (["--listen", "127.0.0.1"], ["listen"]),
        (["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"], ["127.0.0.1:1", "twice"]),
        (["--listen", "127.0.0.1:1", "--admin", "127.0.0.1:1"], ["127.0.0.1:1", "twice"]),
        (["--allow-origin", "example.com"], ["allow-origin", "scheme://host"]),
        (["--shards", "0"], ["shards"]),
        (["--shards", "2.5"], ["shards"]),
        (["--shards", "100000"], ["shards"]),
        (["--max-subscriptions", "0"], ["max-subscriptions"]),
        (["--max-subscriptions", "many"], ["max-subscriptions"]),
        (["--listen", "unix:"], ["listen", "unix:/path"]),
        (["--listen", "unix:not/absolute.sock"], ["listen", "unix:/path"]),
        (["--log-filter", "loud=very"], ["log-filter"]),
        (["--config", "/nonexistent/corecast.toml"], ["/nonexistent/corecast.toml"]),
    ],
)
def test_values_that_do_not_fit_are_exit_2_and_say_why(flags, said):
    for command in ["serve", "check-config"]:
        answer = run(command, *flags)
        assert answer.returncode == 2, answer
        for words in said:
            assert words in answer.stderr, answer.stderr


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    file = tmp_path / "corecast.toml"
    file.write_text("max_topics = 1\nmax_connections = 11\nlog_format = 'json'\n")
    answer = run(
        *["check-config", "--config", str(file), "--max-topics", "3"],
        CORECAST_MAX_TOPICS="2",
        CORECAST_MAX_CONNECTIONS="12",
    )
    assert answer.returncode == 0, answer
    shown = {}
    for line in answer.stdout.splitlines():
        setting, origin = re.fullmatch(r"(.*?)\s+# (.*)", line).groups()
        key, value = setting.split(" = ", 1)
        shown[key] = (value, origin)
    assert shown["max_topics"] == ("3", "--max-topics")
    assert shown["max_connections"] == ("12", "CORECAST_MAX_CONNECTIONS")
    assert shown["log_format"] == ('"json"', f"{file}:3:14")
    assert shown["listen"] == ('["127.0.0.1:9001"]', "default")


def test_config_file_can_come_from_the_environment(tmp_path):
    file = tmp_path / "corecast.toml"
    file.write_text("max_topics = 77\n")
    assert "max_topics = 77" in run("check-config", CORECAST_CONFIG=str(file)).stdout


def test_example_file_holds_the_defaults():
    defaults = run("check-config")
    example = run("check-config", "--config", str(CONFIG))
    assert (defaults.returncode, example.returncode) == (0, 0), example.stderr

    def settings(text):
        return [line.split("#")[0].rstrip() for line in text.splitlines()]

    assert settings(example.stdout) == settings(defaults.stdout)


def test_settings_reach_the_server(start, tmp_path, topic):
    file = tmp_path / "corecast.toml"
    file.write_text('max_message_bytes = "2KiB"\n')
    server = start("--config", str(file), environment={"CORECAST_MAX_TOPICS": "1"})
    assert server.post(topic, b"x" * 2_048).status == 200
    assert server.post(topic, b"x" * 2_049).status == 413
    assert server.post(f"{topic}.b", b"x").status == 503


# Budget and doctor -------------------------------------------------------------------------------------------


def test_budget_is_json_whose_sums_are_those_of_its_terms():
    flags = ["--max-connections", "1000000", "--max-topics", "500", "--shards", "3"]
    answer = run("budget", "--json", *flags)
    assert answer.returncode == 0
    budget = json.loads(answer.stdout)
    assert budget["schema"] == 1
    assert (budget["max_connections"], budget["max_topics"], budget["shards"]) == (1_000_000, 500, 3)
    counts = {"connection": 1_000_000, "topic": 500, "shard": 3, "process": 1}
    total = {"user": 0, "kernel": 0}
    for per, count in counts.items():
        for memory in total:
            own = sum(t["bytes"] for t in budget["terms"] if (t["per"], t["memory"]) == (per, memory))
            assert budget[f"per_{per}"][f"{memory}_bytes"] == own
            total[memory] += own * count
    assert budget["total"] == {"user_bytes": total["user"], "kernel_bytes": total["kernel"]}
    assert all(term["name"] and term["explanation"] for term in budget["terms"])
    # What the design promises for an idle plain connection.
    assert 0 < budget["per_connection"]["user_bytes"] <= 200


def test_budget_follows_the_settings():
    def user_bytes(*flags):
        return json.loads(run("budget", "--json", *flags).stdout)["total"]["user_bytes"]

    base = user_bytes("--max-connections", "1000")
    connection = json.loads(run("budget", "--json").stdout)["per_connection"]["user_bytes"]
    assert user_bytes("--max-connections", "2000") == base + 1_000 * connection
    # These are a shard's, and there is one for each core.
    cores = len(os.sched_getaffinity(0))
    assert user_bytes("--max-connections", "1000", "--log-bytes", "65MiB") == base + cores * (1 << 20)
    fewer = user_bytes("--receive-buffers", "512")
    assert user_bytes("--receive-buffers", "1024") == fewer + cores * 512 * 4_096
    assert user_bytes("--max-connections", "1000", "--shards", str(cores)) == base


def test_shards_are_one_for_each_allowed_core():
    def shards(*flags, **options):
        return re.search(r"(?m)^shards = (\d+) ", run("check-config", *flags, **options).stdout)[1]

    cores = os.sched_getaffinity(0)
    assert shards() == str(len(cores))
    assert shards("--shards", "5") == "5"
    assert shards(CORECAST_SHARDS="7") == "7"
    # Counted are the cores that the process may use, not those that the host has.
    answer = run("check-config", command=["taskset", "--cpu-list", str(min(cores))])
    assert re.search(r"(?m)^shards = 1 ", answer.stdout), answer


def test_subscriptions_have_a_bound_that_can_be_set():
    assert re.search(r"(?m)^max_subscriptions = 128 ", run("check-config").stdout)
    assert re.search(r"(?m)^max_subscriptions = 2 ", run("check-config", "--max-subscriptions", "2").stdout)


def test_budget_as_a_table():
    answer = run("budget")
    assert answer.returncode == 0
    for term in json.loads(run("budget", "--json").stdout)["terms"]:
        assert term["name"] in answer.stdout


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_doctor_finds_this_host_fit():
    answer = run("doctor", "--listen", f"127.0.0.1:{free_port()}", "--admin", "off")
    assert answer.returncode == 0, answer.stdout
    for word in ["kernel", "io_uring", "RLIMIT_NOFILE", "somaxconn"]:
        assert word in answer.stdout, answer.stdout


def test_doctor_names_a_taken_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("doctor", "--listen", f"127.0.0.1:{port}", "--admin", "off")
    assert answer.returncode == 1
    assert f"127.0.0.1:{port}" in answer.stdout and "in use" in answer.stdout


def test_start_says_where_to_connect(start):
    server = start()
    assert f"ws://{server.authority}/topics/{{topic}}" in server.log
    assert f"http://127.0.0.1:{server.admin_port}/metrics" in server.log


def test_log_can_be_json(serve, topic):
    server = serve("--log-format", "json")
    server.publish(topic, b"x")
    server.stop()
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert all({"timestamp", "level", "target", "message"} <= line.keys() for line in lines)
