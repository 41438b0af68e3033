"""The fingerprint: publishable, and what differs is named with both values (R15)."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import rtbench
from rtbench.machine import fingerprint as module
from rtbench.machine import topology, tuning
from rtbench.machine.fingerprint import CHECKED, KEYS, PACKAGES, difference, fingerprint


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return fingerprint()


def test_is_plain_json(here: dict[str, Any]) -> None:
    assert json.loads(json.dumps(here, allow_nan=False)) == here


def test_has_every_checked_key(here: dict[str, Any]) -> None:
    optional = {"commit", "compiler", "mitigations"}  # empty outside a checkout, without cc, on some kernels
    assert all(here[key] for key in CHECKED if key not in optional)
    assert set(CHECKED) <= set(here)
    assert here["rtbench"] == rtbench.__version__
    assert here["python"] == platform.python_version()
    assert set(here["packages"]) == set(PACKAGES)
    assert "missing" not in here["packages"].values()


def test_every_key_is_described(here: dict[str, Any]) -> None:
    assert here.keys() == KEYS.keys()
    for table in ("processor", "tuning"):
        assert set(here[table]) <= set(re.findall(r"`(\w+)`", KEYS[table]))


def test_is_the_same_twice(here: dict[str, Any]) -> None:
    assert {**fingerprint(), "commit": ""} == {**here, "commit": ""}


def test_names_no_machine_and_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "secret-hostname")
    for name in ("USER", "LOGNAME", "USERNAME", "HOME", "HOSTNAME"):
        monkeypatch.setenv(name, "/home/secret-user")
    text = json.dumps(fingerprint())
    assert "secret" not in text
    for path in ("/etc/machine-id", "/etc/hostname"):
        name = Path(path).read_text().strip() if Path(path).exists() else ""
        assert len(name) < 4 or name not in text


def test_machines_are_distinguished(monkeypatch: pytest.MonkeyPatch, here: dict[str, Any]) -> None:
    monkeypatch.setattr(platform, "node", lambda: "another")
    other = fingerprint()
    assert other["machine"] != here["machine"]
    assert len(other["machine"]) == 12


@pytest.mark.parametrize("key", CHECKED)
def test_difference_names_the_key_and_both_values(here: dict[str, Any], key: str) -> None:
    text = difference(here, {**here, key: "something else"})
    assert text == f"{key}: {here[key]} and something else"
    assert difference({**here, key: "something else"}, here) == f"{key}: something else and {here[key]}"


def test_no_difference(here: dict[str, Any]) -> None:
    assert difference(here, dict(here)) == ""


def test_has_what_the_processor_is_and_how_it_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shape = topology.Topology(tuple(topology.Cpu(n, n // 2 * 2, kind=n // 4) for n in range(6)), (0,), 1.5)
    monkeypatch.setattr(topology, "read", lambda: shape)
    monkeypatch.setattr(
        tuning,
        "look",
        lambda seen: tuning.Tuning(seen is shape, "powersave", "amd", True, False, "balanced", (2, 3, 5), True, "2"),
    )
    found = fingerprint()
    assert found["processor"] == {
        "packages": 1,
        "nodes": 1,
        "cores_of_each_type": [2, 1],
        "smt": True,
        "governor": "powersave",
        "driver": "amd",
        "turbo": True,
        "quota_cpus": 1.5,
    }
    assert found["tuning"] == {
        "on_battery": False,
        "power_profile": "balanced",
        "isolated": "2-3,5",
        "irqbalance": True,
        "aslr": "2",
    }


def test_folders_of_before_agree_among_themselves(here: dict[str, Any]) -> None:
    before = {key: value for key, value in here.items() if key not in ("processor", "tuning")}
    assert difference(before, dict(before)) == ""
    assert difference(before, here).startswith("processor: None and {")


@pytest.mark.parametrize("key", ["tuning", "governor", "descriptors", "memory_bytes", "backlog"])
def test_what_is_for_the_reader_does_not_part(here: dict[str, Any], key: str) -> None:
    assert difference(here, {**here, key: "something else"}) == ""


def test_settings_of_tcp_are_those_that_a_campaign_can_choose(here: dict[str, Any]) -> None:
    assert here["tcp"]["tcp_rmem"].split()
    assert here["tcp"]["tcp_congestion_control"] == here["congestion_control"]
    assert not {"tcp_mem", "tcp_fastopen_key", "tcp_available_ulp", "tcp_max_orphans"} & here["tcp"].keys()


def test_a_missing_key_is_a_difference(here: dict[str, Any]) -> None:
    assert difference(here, {}).startswith("machine: ")


def test_a_bare_machine_has_a_fingerprint_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No /proc, no /etc, no git, no such package."""

    def nothing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError(2, "nothing here")

    monkeypatch.setattr(Path, "read_text", nothing)
    monkeypatch.setattr(subprocess, "run", nothing)
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package",))
    bare = fingerprint()
    assert bare["packages"] == {"no-such-package": "missing"}
    assert bare["commit"] == bare["governor"] == ""
    assert bare["local_ports"] == []
    assert bare["cpu"]
    assert bare["system"]
    assert bare["virtualization"] == "none seen"
