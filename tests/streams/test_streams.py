"""The catalogue: what every stream must be, what the article says of each, and that a new one costs one file."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rtbench.errors import ScenarioError
from rtbench.streams import Emission, Notice, Pace, Source, Stream, catalogue, find
from rtbench.streams import resilient as resilience
from rtbench.transports.envelope import is_json
from rtbench.workload import NOTICE, Workload

EPOCH_S = 1_767_225_600
SOME = 300
TRACE = ((0, '{"a":1}'), (0, "plain text"), (1_500_000, '"5"'), (2 * 10**9, "snow ☃"))


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trace file that `replay` can play."""
    path = tmp_path_factory.mktemp("traces") / "trace.jsonl"
    lines = [json.dumps({"offset_ns": offset_ns, "payload": payload}) for offset_ns, payload in TRACE]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def source(stream: str, channel: int = 0, channels: int = 1, seed: int = 1, pace: Pace | None = None) -> Source:
    return Source(seed, EPOCH_S, channel, channels, pace or Pace(), stream)


def script(stream: str, pace: Pace | None = None, seed: int = 1) -> Any:
    return find(stream).emissions(source(stream, pace=pace, seed=seed))


def emissions(stream: str, count: int = SOME, pace: Pace | None = None) -> list[Emission]:
    """The first messages."""
    return list(itertools.islice((one for one in script(stream, pace) if isinstance(one, Emission)), count))


def values(stream: str, count: int = SOME, **options: Any) -> list[tuple[int, dict[str, Any]]]:
    """The first messages' offsets and their JSON, numbers as they are written."""
    found = emissions(stream, count, Pace(**options))
    return [(one.offset_ns, json.loads(one.payload, parse_float=str)) for one in found]


# What holds for every stream


@pytest.mark.parametrize("name", catalogue())
class TestEveryStream:
    @pytest.fixture(autouse=True)
    def pace(self, trace: str) -> Pace:
        return Pace(trace=trace)

    def test_is_described_and_named_as_it_is_found(self, name: str) -> None:
        stream = catalogue()[name]
        assert stream.name == name
        assert stream.description
        assert "\n" not in stream.description
        assert type(stream).__doc__

    def test_payload_is_one_line_of_utf8(self, name: str, pace: Pace) -> None:
        for emission in emissions(name, pace=pace):
            assert not set("\r\n\0") & set(emission.payload)
            assert emission.payload
            emission.payload.encode()

    def test_says_truly_whether_payloads_are_json(self, name: str, pace: Pace) -> None:
        known = catalogue()[name].json_payload
        found = {is_json(emission.payload.encode()) for emission in emissions(name, pace=pace)}
        assert found == ({known} if known is not None else {True, False})

    def test_due_never_falls(self, name: str, pace: Pace) -> None:
        offsets = [one.offset_ns for one in itertools.islice(script(name, pace), SOME)]
        assert offsets == sorted(offsets)
        assert offsets[0] >= 0

    def test_says_truly_whether_it_ends(self, name: str, pace: Pace) -> None:
        bound = 200_000
        many = sum(1 for _ in itertools.islice(script(name, pace), bound if catalogue()[name].finite else 5000))
        assert many < bound if catalogue()[name].finite else many == 5000

    def test_depends_on_its_source_alone(self, name: str, pace: Pace) -> None:
        assert emissions(name, pace=pace) == emissions(name, pace=pace)

    def test_timestamp_is_epoch_plus_due(self, name: str, pace: Pace) -> None:
        for emission in emissions(name, pace=pace):
            if '"timestamp":' in emission.payload:
                written = json.loads(emission.payload, parse_float=str)["timestamp"]
                seconds, _, fraction = str(written).partition(".")
                exact_us = EPOCH_S * 10**6 + emission.offset_ns // 1000
                assert int(seconds) * 10**6 + int(fraction.ljust(6, "0")) == exact_us

    def test_json_is_written_without_blanks_between_members(self, name: str, pace: Pace) -> None:
        for emission in emissions(name, 20, pace):
            if emission.payload.startswith("{"):
                value = json.loads(emission.payload, parse_float=lambda text: f"#{text}#")
                text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
                assert text.replace('"#', "").replace('#"', "") == emission.payload


# Sources


def test_timestamp_is_exact() -> None:
    assert source("x").timestamp(0) == f"{EPOCH_S}.000000"
    assert source("x").timestamp(999_999_999) == f"{EPOCH_S}.999999"
    assert source("x").timestamp(86_400 * 10**9 + 1_500) == f"{EPOCH_S + 86_400}.000001"


def test_random_is_each_channels_own() -> None:
    draws = {
        source(stream, channel, seed=seed).random().getrandbits(64)
        for stream in ("a", "b")
        for channel in (0, 1, 10)
        for seed in (1, 11)
    }
    assert len(draws) == 12


# stocks


def test_stocks_are_a_round_of_five_every_second() -> None:
    for index, emission in enumerate(emissions("stocks")):
        value = json.loads(emission.payload)
        assert list(value) == ["type", "symbol", "price", "timestamp"]
        assert value["type"] == "stock"
        assert value["symbol"] == ("AAPL", "GOOGL", "MSFT", "AMZN", "TSLA")[index % 5]
        assert emission.offset_ns == index // 5 * 1_000_000_000


def test_stock_prices_are_100_to_150_with_two_decimals() -> None:
    prices = [json.loads(emission.payload, parse_float=str)["price"] for emission in emissions("stocks", 5000)]
    assert all(len(price.partition(".")[2]) == 2 for price in prices)
    cents = [int(price.replace(".", "")) for price in prices]
    assert 10_000 <= min(cents) < 10_050
    assert 14_950 < max(cents) <= 15_000


# events, news, chat, general: numbered, paced, over


@pytest.mark.parametrize(
    ("name", "count", "step_ns"),
    [("events", 100, 10**8), ("news", 50, 5 * 10**9), ("chat", 5, 3 * 10**9), ("general", 20, 2 * 10**9)],
)
def test_finite_streams_are_as_long_as_the_article_has_them(name: str, count: int, step_ns: int) -> None:
    found = emissions(name, 1000)
    assert [one.offset_ns for one in found] == [index * step_ns for index in range(count)]


def test_events_are_number_and_time_as_text() -> None:
    for number, one in enumerate(emissions("events"), start=1):
        assert one.payload == f"Event {number} at {source('events').timestamp(one.offset_ns)}"


def test_news() -> None:
    found = [value for _, value in values("news")]
    assert [list(value) for value in found] == [["type", "id", "title", "timestamp"]] * 50
    assert {value["type"] for value in found} == {"news"}
    assert [value["id"] for value in found] == list(range(1, 51))
    assert len({value["title"] for value in found}) > 20


def test_chat() -> None:
    found = [value for _, value in values("chat")]
    assert [list(value) for value in found] == [["type", "user", "message", "timestamp"]] * 5
    assert {value["type"] for value in found} == {"chat"}
    assert len({value["message"] for value in found}) == 5
    users = {one["user"] for seed in range(9) for one in _chat(seed)}
    assert users == {"User1", "User2", "User3"}


def _chat(seed: int) -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in script("chat", seed=seed)]


def test_general() -> None:
    for number, (_, value) in enumerate(values("general"), start=1):
        assert list(value.items())[:2] == [("type", "general"), ("message", f"Update {number}")]
        assert list(value)[2:] == ["timestamp"]


# metrics


def _decimals(text: str, count: int) -> float:
    assert len(text.partition(".")[2]) == count, text
    return float(text)


def test_metrics_are_shares_with_one_decimal_every_second() -> None:
    found = values("metrics", 3000)
    assert [offset_ns for offset_ns, _ in found] == [index * 10**9 for index in range(3000)]
    assert {tuple(value) for _, value in found} == {("cpu", "memory", "timestamp")}
    for name in ("cpu", "memory"):
        shares = [_decimals(value[name], 1) for _, value in found]
        assert min(shares) >= 0
        assert max(shares) <= 100
        assert max(shares) - min(shares) > 50


def test_real_metrics_are_made_when_they_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, pace = find("metrics"), Pace(real=True)
    assert stream.foreseen(Pace())
    assert not stream.foreseen(pace)
    assert [(one.offset_ns, one.payload) for one in emissions("metrics", 3, pace)] == [
        (n * 10**9, "") for n in range(3)
    ]
    monkeypatch.setattr(psutil, "cpu_percent", lambda: 12.34)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"percent": 100.04}))
    made = stream.live(source("metrics", pace=pace), 1_500_000)
    assert made == f'{{"cpu":12.3,"memory":100.0,"timestamp":{EPOCH_S}.001500}}'


def test_only_metrics_makes_payloads_when_they_are_due() -> None:
    with pytest.raises(NotImplementedError, match="stocks makes no payloads"):
        find("stocks").live(source("stocks"), 0)


# dashboard


def test_dashboard() -> None:
    found = values("dashboard", 3000)
    assert [offset_ns for offset_ns, _ in found[:3]] == [0, 2 * 10**9, 4 * 10**9]
    seen = [tuple(value.values()) for _, value in found]
    assert {tuple(value) for _, value in found} == {
        ("active_users", "requests_per_second", "error_rate", "response_time_ms")
    }
    ranges: list[tuple[float, float, Callable[[Any], float]]] = [
        (500, 1499, lambda value: value if type(value) is int else -1),
        (1000, 5999, lambda value: value if type(value) is int else -1),
        (0, 2, lambda value: _decimals(value, 2)),
        (5, 15, lambda value: _decimals(value, 1)),
    ]
    for column, (low, high, read) in enumerate(ranges):
        numbers = [read(row[column]) for row in seen]
        spread = (high - low) / 50
        assert low <= min(numbers) <= low + spread
        assert high - spread <= max(numbers) <= high


# resilient


@pytest.mark.parametrize("seed", range(1, 6))
def test_resilient_fails_as_the_article_says(seed: int) -> None:
    failures = successes = 0
    count = due_ns = 0
    found = list(script("resilient", seed=seed))
    for one in found:
        assert one.offset_ns == due_ns
        if isinstance(one, Emission):
            value = json.loads(one.payload)
            assert list(value) == ["value", "timestamp"]
            assert 0 <= value["value"] < 2**32
            successes += 1
            count = 0
            due_ns += 500_000_000
            continue
        failures += 1
        count += 1
        if count < 4:
            assert (one.kind, one.fields) == ("retry", {"after_ms": 5000, "count": count})
            due_ns += 1_500_000_000
        else:
            assert one is found[-1]
            assert one.kind == "failure"
            assert one.fields["error"]
    assert count == 4
    if successes > 2000:
        assert 0.08 < failures / (failures + successes) < 0.12


def test_resilient_values_use_all_their_bits() -> None:
    drawn = [value["value"] for _, value in values("resilient", 2000)]
    assert min(drawn) < 2**32 / 100 < 99 * 2**32 / 100 < max(drawn)


# production


def test_production_sends_at_three_of_ten_steps_of_100_ms() -> None:
    found = values("production", 3000)
    steps = [offset_ns / 10**8 for offset_ns, _ in found]
    assert all(step.is_integer() for step in steps)
    assert len(set(steps)) == len(steps)
    assert 0.27 < len(found) / (steps[-1] + 1) < 0.33
    for _, value in found:
        assert list(value) == ["data", "timestamp"]
        assert 0 <= int(value["data"].removeprefix("real_time_value_")) < 2**32


def test_production_has_the_article_s_headers_and_heartbeat() -> None:
    stream = find("production")
    assert dict(stream.headers) == {
        "Cache-Control": "no-cache, no-store, must-revalidate",
        "Pragma": "no-cache",
        "Expires": "0",
    }
    assert stream.heartbeat_s == 30
    assert all(other.heartbeat_s is None for other in catalogue().values() if other is not stream)


def test_the_article_s_heartbeat_is_a_message_every_30_s_and_changes_nothing_else() -> None:
    plain, with_them = values("production", 400), values("production", 405, data_heartbeat=True)
    beats = [(offset_ns, value) for offset_ns, value in with_them if value.get("type") == "heartbeat"]
    assert [offset_ns for offset_ns, _ in beats] == [30 * 10**9 * n for n in range(1, len(beats) + 1)]
    assert len(beats) >= 3
    assert [pair for pair in with_them if pair not in beats][:400] == plain


# replay


def test_replay_plays_the_trace(trace: str) -> None:
    assert [tuple(one) for one in emissions("replay", pace=Pace(trace=trace))] == list(TRACE)
    ticks = list(Workload(("replay",), pace=Pace(trace=trace)).ticks())
    assert [(tick.seq, tick.due_ns, tick.payload.decode()) for tick in ticks] == [
        (number, *line) for number, line in enumerate(TRACE, start=1)
    ]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([b"nonsense"], "line 2: Expecting value"),
        ([b""], "line 2: Expecting value"),
        ([b"[1, 2]"], "line 2: is not an object"),
        ([b"[" * 100_000], "line 2: is nested too deeply"),
        ([b'{"offset_ns": 1}'], "line 2: is not an object"),
        ([b'{"offset_ns": 1, "payload": "x", "more": 1}'], "line 2: is not an object"),
        ([b'{"offset_ns": 1.5, "payload": "x"}'], r"line 2: offset_ns is 1\.5"),
        ([b'{"offset_ns": true, "payload": "x"}'], "line 2: offset_ns is true"),
        ([b'{"offset_ns": -1, "payload": "x"}'], "line 2: offset_ns is -1"),
        ([b'{"offset_ns": 9999999999999999999, "payload": "x"}'], "line 2: offset_ns is 9999"),
        ([b'{"offset_ns": 4, "payload": "x"}', b'{"offset_ns": 3, "payload": "x"}'], "line 3: offset_ns falls"),
        ([b'{"offset_ns": 1, "payload": {}}'], r"line 2: payload is \{\}"),
        ([b'{"offset_ns": 1, "payload": ""}'], "line 2: payload is"),
        ([b'{"offset_ns": 1, "payload": "\\"abc\\""}'], "line 2: payload is a JSON string"),
        ([b'{"offset_ns": 1, "payload": "a\\nb"}'], "line 2: payload is"),
        ([b'{"offset_ns": 1, "payload": "\\ud800"}'], "line 2: payload has half a surrogate pair"),
        ([b'{"offset_ns": 1, "payload": "\xff"}'], "line 1 or after: is not UTF-8"),
    ],
)
def test_a_bad_trace_is_one_error_with_file_and_line(tmp_path: Path, lines: list[bytes], says: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\n".join([b'{"offset_ns": 0, "payload": "x"}', *lines]) + b"\n")
    with pytest.raises(ScenarioError, match=f"bad.jsonl, {says}") as caught:
        find("replay").check(Pace(trace=str(path)))
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_trace_that_is_not_there_or_empty(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(ScenarioError, match=r"empty\.jsonl: is empty"):
        find("replay").check(Pace(trace=str(empty)))
    with pytest.raises(ScenarioError, match=r"missing\.jsonl: cannot be read"):
        find("replay").check(Pace(trace=str(tmp_path / "missing.jsonl")))
    with pytest.raises(ScenarioError, match=r"replay needs workload\.trace"):
        find("replay").check(Pace())


# Scripts: notices between ticks


def test_a_script_is_the_ticks_and_between_them_what_the_stream_says_of_itself() -> None:
    workload = Workload(("resilient", "chat", "stocks"), seed=3)
    resilient, chat, stocks = workload.channels()
    whole = list(workload.script_of(resilient))
    assert [tick for tick in whole if tick.seq] == list(workload.ticks_of(resilient))
    notices = [json.loads(tick.payload) for tick in whole if tick.seq == NOTICE]
    assert notices[0] == {"control": "retry", "after_ms": 5000, "count": 1}
    assert notices[-1] == {
        "control": "failure",
        "error": "the source failed 4 times in a row",
        "last": whole[-5].seq,
    }
    assert sum(isinstance(one, Notice) for one in script("resilient", seed=3)) == len(notices)
    end = list(workload.script_of(chat))[-1]
    assert (end.seq, end.due_ns, end.payload) == (NOTICE, 12 * 10**9, b'{"control":"end","last":5}')
    assert all(tick.seq for tick in itertools.islice(workload.script_of(stocks), 100))


def test_the_constants_are_the_article_s() -> None:
    assert (resilience.PROBABILITY, resilience.RETRY_MS, resilience.MOST_IN_A_ROW) == (0.1, 5000, 4)


# The catalogue


def test_find_names_what_there_is() -> None:
    with pytest.raises(ScenarioError, match=r"unknown stream 'weather'.*fanout"):
        find("weather")


def test_stream_is_abstract() -> None:
    with pytest.raises(TypeError, match="emissions"):
        Stream()  # type: ignore[abstract]


NEW_STREAM = '''
"""`tides`: a stream that nobody knew of."""

from rtbench.streams import Emission, Stream


class Tides(Stream):
    name = "tides"
    description = "high and low"
    finite = True

    def emissions(self, source):
        for number in range(4):
            yield Emission(number * 10**9, '{"tide":"%s"}' % ("high", "low")[number % 2])
'''

USE_IT = """
import sys
import rtbench.streams
rtbench.streams.__path__.append(sys.argv[1])
from rtbench.scenario.loading import build
from rtbench.streams import catalogue
scenario = build({"stream": "tides"}, "here")
print(*[tick.payload.decode() for tick in scenario.make_workload().ticks()], *catalogue())
"""


def test_a_new_stream_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "tides.py").write_text(NEW_STREAM)
    done = subprocess.run(
        [sys.executable, "-c", USE_IT, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    high, low = '{"tide":"high"}', '{"tide":"low"}'
    assert done.stdout.split() == [high, low, high, low, *sorted([*catalogue(), "tides"])]
