"""Scenarios: the shipped ones load, every wrong one is refused by name, and the hash is of what matters."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtbench.errors import ScenarioError, UserError
from rtbench.scenario.loading import FOLDER, build, load, names
from rtbench.scenario.model import Scenario
from rtbench.scenario.tables import Injection, Interruption
from rtbench.subjects.names import base_of, is_faulty
from rtbench.subjects.registry import Registry, catalogue

SOURCE = "somewhere.toml"


def refused(table: dict[str, Any], *settings: str) -> str:
    """The one line that the user reads."""
    with pytest.raises(ScenarioError) as caught:
        build(table, SOURCE, settings)
    line = str(caught.value)
    assert "\n" not in line
    return line


# Shipped scenarios


@pytest.mark.parametrize("name", names())
def test_shipped_scenario_loads(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.description
    # Under a second label (R9) or behind a proxy a subject is the same one.
    assert {base_of(subject) for subject in scenario.subjects} <= set(catalogue())
    workload = scenario.make_workload()
    assert workload.takes(0) or next(workload.ticks(workload.channels()[:1])).seq == 1


def test_the_shipped_scenarios_are_the_files_in_the_folder() -> None:
    assert names() == sorted(path.stem for path in FOLDER.iterdir() if path.is_file())
    assert {"aa", "ci", "full", "memory", "smoke"} <= set(names())


def test_a_fault_injecting_subject_is_in_no_shipped_scenario() -> None:
    assert not any(is_faulty(subject) for name in names() for subject in load(name).subjects)


def test_aa_is_twenty_pairs_of_three_blocks() -> None:
    scenario = load("aa")
    pairs = [name for name in scenario.subjects if "@" in name]
    assert [name.partition("@")[0] for name in pairs] == [name for name in scenario.subjects if "@" not in name]
    assert len(pairs) * scenario.blocks // 3 == 20


def test_memory_climbs_to_two_thousand() -> None:
    assert load("memory").memory.ladder == (250, 500, 1000, 2000)


def test_main_job_is_a_thousand_subscribers_on_four_transports() -> None:
    scenario = load("ci")
    assert scenario.subscribers == 1000
    assert {catalogue()[name].transport for name in scenario.subjects} == {
        "sse",
        "websocket",
        "short-poll",
        "long-poll",
    }


# Files


def test_missing_scenario_names_the_ones_there_are() -> None:
    with pytest.raises(ScenarioError, match=r"unknown scenario 'nightly'.*ci, full.*path of a TOML file"):
        load("nightly")


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ScenarioError, match=r"mine\.toml"):
        load(str(path))


@pytest.mark.parametrize("content", [b"blocks = ", b"\xff\xfe", b"blocks = 1\nblocks = 2\n"])
def test_bad_toml_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=r"mine\.toml: cannot be read as TOML .*correct the file"):
        load(str(path))


def test_a_folder_is_not_a_scenario(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read as TOML"):
        load(f"{tmp_path}/")


def test_a_file_is_called_like_itself_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("blocks = 2\n")
    assert load(str(path)).name == "mine"
    path.write_text('name = "ours"\n')
    assert load(str(path)).name == "ours"


def test_an_error_names_the_path_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[poll]\ninterval = 2\n")
    with pytest.raises(ScenarioError) as caught:
        load(str(path))
    assert (
        str(caught.value) == f"{path}: unknown key poll.interval: did you mean 'interval_s'? "
        "choose one of interval_s, long_timeout_s"
    )


# What is refused


@pytest.mark.parametrize(
    ("table", "key", "allowed"),
    [
        ({"subscribers": "many"}, 'subscribers = "many"', "an integer from 1 to 100000"),
        ({"subscribers": 0}, "subscribers = 0", "an integer from 1 to 100000"),
        ({"subscribers": 10.0}, "subscribers = 10.0", "an integer"),
        ({"blocks": True}, "blocks = true", "an integer"),
        ({"window_s": "10"}, 'window_s = "10"', "a number from 0.2 to 86400 seconds"),
        ({"window_s": float("nan")}, "window_s = NaN", "a number"),
        ({"window_s": float("inf")}, "window_s = Infinity", "a number"),
        ({"seed": -1}, "seed = -1", "an integer from 0"),
        ({"name": 5}, "name = 5", "expected a string"),
        ({"name": "two\nlines"}, 'name = "two\\nlines"', "expected a string"),
        ({"description": []}, "description = []", "expected a string"),
        ({"subjects": "sse-aiohttp"}, 'subjects = "sse-aiohttp"', "a list of subjects; see `rtbench list subjects`"),
        ({"subjects": []}, "subjects = []", "a list of subjects"),
        ({"subjects": ["sse-aiohttp", 5]}, 'subjects = ["sse-aiohttp", 5]', "a list of subjects"),
        ({"stream": 5}, "stream = 5", "a list of streams; see `rtbench list streams`"),
        ({"stream": []}, "stream = []", "a list of streams"),
        ({"workload": {"arrival": "bursty"}}, 'workload.arrival = "bursty"', "one of constant, poisson"),
        ({"workload": {"channels": "multicast"}}, 'workload.channels = "multicast"', "one of broadcast, unicast"),
        ({"workload": {"payload_bytes": 0}}, "workload.payload_bytes = 0", "an integer from 1 to 1.04858e+06"),
        ({"server": {"loop": "trio"}}, 'server.loop = "trio"', "one of uvloop, asyncio"),
        ({"poll": {"interval_s": 0}}, "poll.interval_s = 0", "a number from 0.01 to 3600 seconds"),
        ({"validity": {"client_cpu_share": 75}}, "validity.client_cpu_share = 75", "a number from 0.01 to 1"),
        (tomllib.loads("epoch_s = 2026-01-01"), 'epoch_s = "2026-01-01"', "an integer"),
        ({"netns": 1}, "netns = 1", "true or false"),
        ({"server": {"host": "0.0.0.0"}}, 'server.host = "0.0.0.0"', "one of 127.0.0.1, ::1"),
        ({"memory": {"ladder": 5}}, "memory.ladder = 5", "a list of rising numbers of subscribers, three or more"),
        ({"memory": {"ladder": [1, 2]}}, "memory.ladder = [1, 2]", "three or more"),
        ({"memory": {"ladder": [1, 3, 2]}}, "memory.ladder = [1, 3, 2]", "rising"),
        ({"memory": {"ladder": [1, 2, 2]}}, "memory.ladder = [1, 2, 2]", "rising"),
        ({"memory": {"ladder": [0, 1, 2]}}, "memory.ladder = [0, 1, 2]", "rising numbers"),
        ({"memory": {"ladder": [1, 2, "3"]}}, 'memory.ladder = [1, 2, "3"]', "rising numbers"),
        ({"memory": {"ladder": [True, 2, 3]}}, "memory.ladder = [true, 2, 3]", "rising numbers"),
        ({"memory": {"idle_s": 0}}, "memory.idle_s = 0", "a number from 0.1 to 600 seconds idle at each rung"),
        ({"memory": {"stream_s": 601}}, "memory.stream_s = 601", "seconds streaming at each rung"),
        ({"validity": {"hub_lag_s": -1}}, "validity.hub_lag_s = -1", "a number from 0 to 60 seconds"),
        ({"validity": {"throttle_events": 0.5}}, "validity.throttle_events = 0.5", "an integer from 0"),
        ({"validity": {"retransmit_share": 2}}, "validity.retransmit_share = 2", "share of segments retransmitted"),
        ({"validity": {"ports_share": 0}}, "validity.ports_share = 0", "from 0.01 to 1, share of the local ports"),
        ({"validity": {"reruns": -1}}, "validity.reruns = -1", "reruns of a block with an invalid trial"),
        ({"faults": {"stop": [{"what": "me"}]}}, 'faults.stop[0].what = "me"', "one of server, publisher, load"),
        ({"faults": {"stop": [{"at_s": -1}]}}, "faults.stop[0].at_s = -1", "seconds after the window's start"),
        ({"faults": {"kill": [{}, {"for_s": 0}]}}, "faults.kill[1].for_s = 0", "a number from 0.001 to 3600 seconds"),
        ({"faults": {"starve": [{"burn_s": 0}]}}, "faults.starve[0].burn_s = 0", "seconds burned in each every_s"),
        ({"faults": {"inject": [{"do": "lose"}]}}, 'faults.inject[0].do = "lose"', "one of delay, drop, duplicate"),
        ({"faults": {"inject": [{"every": 0}]}}, "faults.inject[0].every = 0", ": one id in this many"),
        ({"faults": {"inject": [{"subscribers": [-1]}]}}, "faults.inject[0].subscribers = [-1]", "empty: all"),
        ({"faults": {"inject": [{"subscribers": 3}]}}, "faults.inject[0].subscribers = 3", "a list of subscribers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_value_names_key_file_and_what_is_allowed(table: dict[str, Any], key: str, allowed: str) -> None:
    line = refused(table)
    assert line.startswith(f"{SOURCE}: {key}")
    assert allowed in line


@pytest.mark.parametrize(
    ("table", "key", "allowed"),
    [
        ({"subscriber": 5}, "unknown key subscriber", "subscribers"),
        ({"server": {"heartbeat": 5}}, "unknown key server.heartbeat", "heartbeat_s"),
        ({"poll": {"interval_s": 1, "timeout": 2}}, "unknown key poll.timeout", "long_timeout_s"),
        ({"workload": 5}, "workload: expected a table", "[workload]"),
        (tomllib.loads("[[workload]]\nrate_hz = 1"), "workload: expected a table", "[workload]"),
        ({"memory": {"rungs": 3}}, "unknown key memory.rungs", "ladder, idle_s, stream_s"),
        ({"faults": {"pause": []}}, "unknown key faults.pause", "stop, kill, starve, inject"),
        ({"faults": {"stop": [{"who": "server"}]}}, "unknown key faults.stop[0].who", "what, at_s, for_s"),
        ({"faults": {"inject": [{"drop": 1}]}}, "unknown key faults.inject[0].drop", "do, subscribers, every, of"),
        ({"faults": {"stop": {"what": "server"}}}, "faults.stop: expected tables", "[[faults.stop]]"),
        ({"faults": {"stop": ["server"]}}, "faults.stop: expected tables", "[[faults.stop]]"),
        ({"faults": {"inject": 5}}, "faults.inject: expected tables", "[[faults.inject]]"),
        ({"validity": {"cpu": 1}}, "unknown key validity.cpu", "client_cpu_share"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unknown_key_names_the_allowed_ones(table: dict[str, Any], key: str, allowed: str) -> None:
    line = refused(table)
    assert line.startswith(f"{SOURCE}: {key}")
    assert allowed in line


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"stream": "weather"}, "stream: unknown stream 'weather': choose one of chat, "),
        ({"stream": ["fanout", "replay"]}, "stream replay needs workload.trace: "),
        ({"stream": "replay", "workload": {"trace": "/no/such"}}, "/no/such: cannot be read (No such file"),
        ({"stream": ["fanout", "weather"]}, "stream: unknown stream 'weather': choose one of chat, "),
        ({"subjects": ["sse-aiohttp", "sse-aiohttp"]}, "subjects: duplicate name"),
        ({"subscribers": 2, "workers": 3}, "workers = 3: expected at most subscribers (2)"),
        (
            {"subjects": ["short-poll-aiohttp"], "grace_s": 1, "poll": {"interval_s": 1}},
            "grace_s = 1: expected more than poll.interval_s",
        ),
        (
            {"subscribers": 9, "memory": {"ladder": [2, 4, 8]}},
            "memory.ladder ends with 8: expected subscribers (9) as the last rung",
        ),
        (
            {"subjects": ["sse-faulty", "sse-aiohttp"], "faults": {"inject": [{}]}},
            "faults.inject: use it with the fault-injecting subjects (`…-faulty`) only",
        ),
        (
            {"faults": {"kill": [{"what": "server"}, {"what": "load"}]}},
            'faults.kill[1].what = "load": expected "server"',
        ),
        (
            {"faults": {"starve": [{}]}},
            'faults.starve[0].what = "server": expected "load"',
        ),
        (
            {"window_s": 2, "grace_s": 1, "faults": {"stop": [{"at_s": 2.5, "for_s": 0.6}]}},
            "faults.stop[0] ends 3.1 s after the window's start: expected an end within window_s + grace_s, 3 s",
        ),
    ],
)
def test_impossible_combination(table: dict[str, Any], says: str) -> None:
    assert refused(table).removeprefix(f"{SOURCE}: ").startswith(says)


def test_a_fault_may_end_with_the_grace() -> None:
    table = {"window_s": 2, "grace_s": 1, "faults": {"stop": [{"at_s": 2.5, "for_s": 0.5}]}}
    assert build(table, SOURCE).faults.stop[0].for_s == 0.5


def test_rows_of_faults_are_values_with_their_defaults() -> None:
    inject = [{"do": "drop", "subscribers": [3, 4], "every": 10, "of": 1}, {}]
    table = {"subjects": ["sse-faulty@2"], "faults": {"stop": [{"what": "publisher"}], "inject": inject}}
    scenario = build(table, SOURCE)
    assert scenario.faults.stop == (Interruption("publisher", 1.0, 0.5, 0.03, 0.1),)
    assert scenario.faults.inject == (Injection("drop", (3, 4), 10, 1, 0.0), Injection("delay", (), 1, 0, 0.0))
    assert (scenario.faults.kill, scenario.faults.starve) == ((), ())


@pytest.mark.parametrize(
    ("injection", "hit", "missed"),
    [
        (Injection("drop"), [(0, 1), (7, 10)], []),
        (Injection("drop", every=10, of=1), [(0, 1), (5, 11)], [(0, 10), (0, 2)]),
        (Injection("drop", subscribers=(3, 5)), [(3, 1), (5, 8)], [(4, 1), (-1, 1)]),
        (Injection("drop", subscribers=(3,), every=2, of=0), [(3, 4)], [(3, 5), (2, 4)]),
    ],
)
def test_an_injection_hits_these_ids_of_these_subscribers(
    injection: Injection, hit: list[tuple[int, int]], missed: list[tuple[int, int]]
) -> None:
    assert all(injection.hits(*pair) for pair in hit)
    assert not any(injection.hits(*pair) for pair in missed)


def test_grace_may_be_short_without_polls() -> None:
    assert build({"grace_s": 0.1, "subjects": ["sse-aiohttp", "long-poll-aiohttp"]}, SOURCE).grace_s == 0.1


def test_every_error_is_the_users() -> None:
    assert issubclass(ScenarioError, UserError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from([item.name for item in dataclasses.fields(Scenario)]), value=json_values)
def test_any_value_of_any_key_is_taken_or_refused_by_name(key: str, value: Any) -> None:
    try:
        scenario = build({key: value}, SOURCE)
    except ScenarioError as error:
        assert key in str(error)
        assert SOURCE in str(error)
    else:
        assert build(json.loads(json.dumps(scenario.as_dict())), SOURCE) == scenario


# --set


def settings(*text: str) -> Scenario:
    return build({}, SOURCE, text)


def test_set_takes_dotted_keys_and_the_types_of_toml() -> None:
    scenario = settings("subscribers=200", "poll.interval_s=0.5", 'workload.arrival="poisson"', "subjects=['a', 'b']")
    assert scenario.subscribers == 200
    assert scenario.poll.interval_s == 0.5
    assert scenario.workload.arrival == "poisson"
    assert scenario.subjects == ("a", "b")


def test_set_takes_a_bare_word_as_text() -> None:
    assert settings("workload.arrival=poisson").workload.arrival == "poisson"
    assert settings("stream=stocks").stream == ("stocks",)
    assert settings("description=a = b").description == "a = b"


def test_a_whole_number_is_a_number() -> None:
    value = settings("window_s=7").window_s
    assert value == 7.0
    assert type(value) is float


def test_set_goes_over_the_file_and_the_last_wins() -> None:
    table = {"subscribers": 5, "poll": {"interval_s": 0.1, "long_timeout_s": 3}}
    scenario = build(table, SOURCE, ["subscribers=6", "subscribers=7", "poll.interval_s=0.2"])
    assert (scenario.subscribers, scenario.poll.interval_s, scenario.poll.long_timeout_s) == (7, 0.2, 3)


def test_overrides_go_over_settings() -> None:
    assert build({"seed": 1}, SOURCE, ["seed=2"], {"seed": 3}).seed == 3


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("subscribers", "--set subscribers: expected KEY=VALUE"),
        ("=5", "--set =5: expected KEY=VALUE"),
        ("subscribers.most=5", "--set subscribers.most=5: subscribers is not a table"),
        ("poll.every=5", f"{SOURCE}: unknown key poll.every"),
        ("nothing.at.all=5", f"{SOURCE}: unknown key nothing"),
        ("subscribers=many", f'{SOURCE}: subscribers = "many": expected an integer'),
        ("subscribers=", f'{SOURCE}: subscribers = "": expected an integer'),
        ("poll=5", f"{SOURCE}: poll: expected a table"),
        ("server.loop.name=5", f'{SOURCE}: server.loop = {{"name": 5}}: expected one of uvloop'),
    ],
)
def test_wrong_setting(setting: str, says: str) -> None:
    assert refused({"subscribers": 5}, setting).startswith(says)


# Streams, plan, hash


def test_stream_is_a_name_or_a_list() -> None:
    assert build({"stream": "stocks"}, SOURCE) == build({"stream": ["stocks"]}, SOURCE)
    assert build({"stream": ["stocks", "fanout"]}, SOURCE).stream == ("stocks", "fanout")


def test_plan_is_the_workload() -> None:
    workload = build(
        {
            "stream": ["stocks", "fanout"],
            "seed": 7,
            "epoch_s": 5,
            "subscribers": 9,
            "workload": {"channels": "unicast", "rate_hz": 3, "payload_bytes": 77, "arrival": "poisson"},
        },
        SOURCE,
    ).make_workload()
    assert (workload.streams, workload.seed, workload.epoch_s, workload.subscribers) == (("stocks", "fanout"), 7, 5, 9)
    assert dataclasses.astuple(workload.pace) == ("unicast", 3.0, 77, "poisson", False, "", False, False)


OTHERWISE: dict[str, Any] = {
    "stream": "stocks",  # the one stream of a scenario stands there as a text
    "subjects": ["websocket-aiohttp"],
    "workers": 2,  # 0 is what is chosen, and counts as one until it is
    "workload.channels": "unicast",
    "workload.arrival": "poisson",
    "server.loop": "asyncio",
    "server.host": "::1",
    "memory.ladder": [10, 100, 1000],
    "faults.stop": [{"at_s": 2}],
    "faults.kill": [{"for_s": 0.2}],
    "faults.starve": [{"what": "load"}],
    "proxy": "nginx-tuned",
    "server.allow_origin": ["https://example.org"],
    "sweep": {"seed": [1, 2]},
    "thresholds": {"sse-aiohttp.lost": {"max": 0}},
    "subject": [{"name": "mine", "transport": "sse", "url": "http://127.0.0.1:9"}],
}


def other(key: str, value: Any) -> Any:
    """Another value of that key that is allowed."""
    if key in OTHERWISE:
        return OTHERWISE[key]
    match value:
        case bool():
            return not value
        case str():
            return value + "x"
        case float():
            return value * 0.9
        case _:
            return value + 1


def changed() -> list[tuple[str, dict[str, Any]]]:
    """Every key of a scenario with a table in which it alone has another value."""
    cases = []
    for key, value in Scenario().as_dict().items():
        if isinstance(value, dict) and value:
            cases += [
                (f"{key}.{inner}", {key: {inner: other(f"{key}.{inner}", v)}})
                for inner, v in value.items()
                if f"{key}.{inner}" not in ("faults.inject", "chat.senders")  # which want another subject or stream
            ]
        else:
            cases.append((key, {key: other(key, value)}))
    return cases


@pytest.mark.parametrize(("key", "table"), changed(), ids=[key for key, _ in changed()])
def test_hash_is_of_everything_but_words_blocks_and_seed(key: str, table: dict[str, Any]) -> None:
    scenario = build(table, SOURCE)
    assert scenario != Scenario()
    assert (scenario.hash == Scenario().hash) is (key in ("name", "description", "blocks", "seed"))


def test_subjects_of_a_conversation_can_send(tmp_path: Path) -> None:
    chat = {"stream": "chat", "chat": {"senders": 1}}
    talking = build(chat, SOURCE)
    assert talking.make_workload().takes(0)
    assert talking.hash != build({"stream": "chat"}, SOURCE).hash
    for table, words in (
        ({**chat, "stream": "stocks"}, "chat.senders = 1: no stream here takes messages: add chat"),
        ({**chat, "subscribers": 1, "chat": {"senders": 2}}, "expected at most subscribers"),
        ({**chat, "subjects": ["sse-nchan"]}, "sse-nchan takes no messages from subscribers"),
    ):
        with pytest.raises(ScenarioError, match=words):
            build(table, SOURCE)


def test_hash_is_of_what_is_in_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    hashes = set()
    for payload in ("a", "b"):
        path.write_text(json.dumps({"offset_ns": 0, "payload": payload}))
        hashes.add(build({"stream": "replay", "workload": {"trace": str(path)}}, SOURCE).hash)
    assert len(hashes) == 2


def test_a_trace_lies_beside_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"offset_ns": 0, "payload": "x"}')
    (tmp_path / "mine.toml").write_text('stream = "replay"\nworkload.trace = "mine.jsonl"\n')
    scenario = load(str(tmp_path / "mine.toml"))
    assert scenario.workload.trace == str(tmp_path / "mine.jsonl")
    assert [tick.payload for tick in scenario.make_workload().ticks()] == [b"x"]


def test_hash_is_of_what_is_injected_too() -> None:
    faulty = {"subjects": ["sse-faulty"]}
    some = build({**faulty, "faults": {"inject": [{"do": "drop"}]}}, SOURCE)
    assert len({build(faulty, SOURCE).hash, some.hash, Scenario().hash}) == 3


def test_hash_is_that_of_before_where_cpus_and_load_processes_are_not_named() -> None:
    assert "place" not in Scenario().as_dict()
    assert build({"place": {"server": ""}}, SOURCE).hash == build({"workers": 1}, SOURCE).hash == Scenario().hash
    hashes = {build({"place": {role: "1"}}, SOURCE).hash for role in ("server", "load", "publisher")}
    assert len(hashes | {Scenario().hash, build({"workers": 2}, SOURCE).hash}) == 5
    placed = build({"place": {"load": "1-2,5"}}, SOURCE)
    assert build(placed.as_dict(), SOURCE) == placed


@pytest.mark.parametrize("words", ["one", "1-", "-1", "1,,2", "1 2", "0x1", "99999", "1-2-3", "1\n"])
def test_place_is_lists_of_cpus_as_the_kernel_writes_them(words: str) -> None:
    line = refused({"place": {"load": words}})
    assert line.startswith(f"{SOURCE}: place.load = {json.dumps(words)}: expected a list of cpus")


def test_hash_is_of_values_not_of_how_they_are_written() -> None:
    assert build({"window_s": 10, "poll": {}}, SOURCE).hash == build({"window_s": 10.0}, SOURCE).hash
    assert len(Scenario().hash) == 12


@pytest.mark.parametrize("name", ["unicast", "memory", str(FOLDER / "calibration" / "faults.toml")])
def test_as_dict_is_plain_json_and_builds_the_same(name: str) -> None:
    scenario = load(name)
    assert build(json.loads(json.dumps(scenario.as_dict())), SOURCE) == scenario


# Subjects of one's own


MINE = {"name": "mine", "transport": "sse", "command": ["serve", "{port}"]}


def test_a_subject_of_the_scenarios_own_is_known_by_its_name() -> None:
    scenario = build({"subjects": ["mine", "sse-aiohttp"], "subject": [{**MINE, "ready": "/up"}]}, SOURCE)
    assert scenario.subject_of("mine").program.ready == "/up"  # type: ignore[union-attr]
    assert build({"subjects": ["mine"], "subject": MINE}, SOURCE).subject_of("mine@b").name == "mine@b"
    # It is known again from what campaign.json keeps of the scenario.
    again = build(scenario.as_dict(), SOURCE)
    assert again == scenario
    assert again.subject_of("mine").program is not None
    with pytest.raises(UserError, match="unknown subject 'mine'"):
        Registry().find("mine")  # known to its scenario alone


def test_a_toml_file_with_a_subject(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'subjects = ["mine"]\n[[subject]]\nname = "mine"\ntransport = "websocket"\nurl = "ws://127.0.0.1:9"\n'
        'greeting = ["hello"]\nheaders = {Authorization = "Bearer x"}\ncarries_id = "json:a.b"\n'
    )
    found = load(str(path)).subject_of("mine")
    assert (found.greeting, found.headers, found.carries_id) == (("hello",), {"Authorization": "Bearer x"}, "json:a.b")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"transport": "sse", "command": ["x"]}], "subject[0]: expected a name, a transport, and a command or a url"),
        ([{"name": "a", "command": ["x"]}], "subject[0]: expected a name"),
        ([MINE, {"name": "a", "transport": "sse"}], "subject[1]: expected a name"),
        ([{**MINE, "url": "http://127.0.0.1"}], "subject[0]: expected a name"),
        ([{**MINE, "name": "a b"}], 'subject[0].name = "a b": expected a name'),
        ([{**MINE, "transport": "pigeon"}], "subject[0]: unknown transport 'pigeon': choose one of sse"),
        ([{**MINE, "codec": "morse"}], "subject[0]: unknown codec 'morse': choose one of"),
        ([{**MINE, "name": "sse-aiohttp"}], "subject[0]: the subject name 'sse-aiohttp' is in use"),
        ([MINE, MINE], "subject[1]: the name 'mine' is in use: choose another name"),
        ([{**MINE, "capabilities": ["flight"]}], "subject[0]: unknown capability 'flight': choose one of"),
        ([{**MINE, "carries_id": "xml:a"}], "subject[0].carries_id"),
        ([{**MINE, "publish": "smoke"}], "subject[0].publish"),
        (
            [{**MINE, "payload": "pub.data"}],
            'subject[0].payload = "pub.data": expected json:PATH, such as json:pub.data',
        ),
        (
            [{**MINE, "post_body": "{text}"}],
            "subject[0]: post_body: unknown placeholder {text}: choose one of {id}, {d",
        ),
        ([{**MINE, "post_body": "a={data}"}], "subject[0]: post_body: not JSON when it is filled in (Expecting value"),
        ([{**MINE, "post_body": "{data}"}], 'subject[0]: post_body has no id, and carries_id = "payload" expects one'),
        ([{**MINE, "path": "/{topic}"}], "subject[0]: path = '/{topic}': unknown placeholder {topic}: choose one of"),
        (
            [{**MINE, "transport": "long-poll", "payload": "json:a"}],
            "subject[0]: payload: an answer to long-poll holds",
        ),
        ([{**MINE, "headers": {"a": 1}}], "subject[0].headers"),
        ([{**MINE, "command": "serve"}], 'subject[0].command = "serve": expected a list of words'),
        ([{**MINE, "colour": "red"}], "unknown key subject[0].colour"),
        ([{"name": "a", "transport": "sse", "url": "nowhere"}], "subject[0]: 'nowhere' is not a server's URL"),
        ([{"name": "a", "transport": "sse", "url": "http://[::1"}], "subject[0]: 'http://[::1' is not a server's URL"),
        (5, "subject: expected tables: write [[subject]]"),
    ],
)
def test_a_wrong_subject_is_named(rows: Any, says: str) -> None:
    line = refused({"subject": rows})
    assert line.startswith(f"{SOURCE}: ")
    assert says in line


def test_a_python_file_among_the_subjects(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from rtbench.subjects import Subject\nasync def serve(server): ...\n"
        "SUBJECT = Subject('sse-mine', 'sse', 'mine', serve=serve)\n"
    )
    scenario = build({"subjects": [str(path), "sse-aiohttp"]}, SOURCE)
    assert scenario.subjects == ("sse-mine", "sse-aiohttp")
    assert scenario.subject_of("sse-mine").module == str(path)
    with pytest.raises(UserError, match=r"gone\.py does not exist"):
        build({"subjects": [str(tmp_path / "gone.py")]}, SOURCE)


# Proxies, sweeps, thresholds


def test_a_proxy_stands_before_every_subject_that_has_none_of_its_own() -> None:
    scenario = build({"proxy": "nginx-tuned"}, SOURCE)
    assert scenario.subject_of("sse-aiohttp").proxy == "nginx-tuned"
    assert scenario.subject_of("sse-aiohttp+haproxy").proxy == "haproxy"
    assert scenario.subject_of("tcp-floor").proxy == ""  # they speak HTTP
    assert build({}, SOURCE).subject_of("sse-aiohttp").proxy == ""
    assert "proxy: unknown proxy 'squid': choose one of" in refused({"proxy": "squid"})


def test_without_a_sweep_the_scenario_is_its_one_cell() -> None:
    scenario = build({}, SOURCE)
    (cell,) = scenario.cells()
    assert (cell.scenario, cell.settings, cell.name) == (scenario, {}, "")


def test_a_sweep_is_every_combination_in_its_order() -> None:
    sweep = {"subscribers": [10, 20], "workload": {"rate_hz": [1, 2.5]}}
    scenario = build({"sweep": sweep, "blocks": 2}, SOURCE)
    cells = scenario.cells()
    assert [cell.name for cell in cells] == [
        "subscribers=10 workload.rate_hz=1",
        "subscribers=10 workload.rate_hz=2.5",
        "subscribers=20 workload.rate_hz=1",
        "subscribers=20 workload.rate_hz=2.5",
    ]
    assert [(cell.scenario.subscribers, cell.scenario.workload.rate_hz) for cell in cells] == [
        (10, 1.0), (10, 2.5), (20, 1.0), (20, 2.5)
    ]  # fmt: skip
    assert all(cell.scenario.sweep == {} and cell.scenario.blocks == 2 for cell in cells)
    assert len({cell.scenario.hash for cell in cells} | {scenario.hash}) == 5
    # A key with dots in quotes is the same.
    quoted = build({"sweep": {"subscribers": [10, 20], "workload.rate_hz": [1, 2.5]}}, SOURCE)
    assert [cell.name for cell in quoted.cells()] == [cell.name for cell in cells]


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        ({"subscribers": 5}, 'sweep = {"subscribers": 5}: expected a list of values for each key'),
        ({"subscribers": []}, "expected a list of values for each key"),
        ({"subscribers": [5, 0]}, "[sweep]: subscribers = 0: expected"),
        ({"colour": ["red"]}, "[sweep]: unknown key colour"),
        ({"subscribers": {"most": [5]}}, "[sweep]: subscribers.most: subscribers is not a table"),
        ({"place": {"server": ["0", "1"]}}, "place cannot be swept: run one campaign for each placement"),
        ({"place.server": ["0", "1"]}, "place cannot be swept"),
        ({"grace_s": [0.1, 5]}, "grace_s = 0.1: expected more than poll.interval_s"),
    ],
)
def test_a_wrong_sweep_is_named(sweep: dict[str, Any], says: str) -> None:
    assert says in refused({"sweep": sweep, "subjects": ["short-poll-aiohttp"], "grace_s": 2})


@pytest.mark.parametrize(
    "limits",
    [
        {"lost": {"max": 0}},
        {"sse-aiohttp.lost": {}},
        {"sse-aiohttp.lost": {"most": 0}},
        {"sse-aiohttp.lost": {"max": "0"}},
        {"sse-aiohttp.lost": {"max": True}},
        {"sse-aiohttp.lost": 0},
    ],
)
def test_a_wrong_threshold_is_named(limits: dict[str, Any]) -> None:
    assert 'expected "SUBJECT.METRIC" = {max = NUMBER} or {min = NUMBER}' in refused({"thresholds": limits})


def test_how_subscribers_come_back_has_limits() -> None:
    assert build({"reconnect": {"backoff_s": 1}}, SOURCE).reconnect.backoff_s == 1.0
    assert "reconnect.eventsource_s = 0.0: expected a number from 0.01 to 600" in refused(
        {"reconnect": {"eventsource_s": 0}}
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"subscribers": 30_000},
            "here: server.connections = 25,000: subscribers and chat.senders need 30,000: "
            "--set server.connections=60000",
        ),
        (
            {"subscribers": 30_000, "server": {"connections": 60_000}},
            "here: server.connections_by_peer = 25,000: subscribers and chat.senders need 30,000: "
            "--set server.connections_by_peer=60000",
        ),
        (
            {"stream": ["chat"], "chat": {"senders": 500, "rate_hz": 4}},
            "here: server.publishes_hz = 1000: [chat] sends 2000 messages a second: --set server.publishes_hz=4000",
        ),
    ],
)
def test_a_server_must_not_refuse_what_the_scenario_asks_for(table: dict[str, Any], message: str):
    with pytest.raises(ScenarioError) as error:
        build(table, "here")
    assert str(error.value) == message


@pytest.mark.parametrize("origins", [["example.org"], ["https://example.org/"], ["ftp://example.org"], [1], "*"])
def test_an_origin_is_a_scheme_and_a_host(origins: Any):
    with pytest.raises(ScenarioError, match="expected a list of origins"):
        build({"server": {"allow_origin": origins}}, "here")
