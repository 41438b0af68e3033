"""The inventory: complete, bounded, publishable."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path

import pytest

from rtbench import programs
from rtbench.machine import inner_loop, inventory
from rtbench.records.record import plain


@pytest.fixture(scope="module")
def here() -> inventory.Inventory:
    return inventory.inventory()


def test_has_what_a_reader_needs(here: inventory.Inventory) -> None:
    assert here.packages["aiohttp"] == metadata.version("aiohttp")
    assert len(here.packages) > 20
    assert here.python["version"] == platform.python_version() and here.python["compiler"]
    assert "net.ipv4.tcp_rmem" in here.sysctls and "net.ipv4.tcp_congestion_control" in here.sysctls
    assert here.loopback["mtu"].isdigit()
    assert here.inner_loop.language == inner_loop.inner_loop()
    assert here.inner_loop.source_sha256 == hashlib.sha256(inner_loop.SOURCE.read_bytes()).hexdigest()
    assert "-O2" in here.inner_loop.flags
    assert bool(here.inner_loop.compiler) == (programs.find("cc") is not None)


def test_is_plain_and_bounded_and_anonymous(here: inventory.Inventory) -> None:
    text = json.dumps(plain(here), allow_nan=False)
    assert len(text) < 64_000
    assert str(Path.home()) not in text
    name = platform.node()
    assert len(name) < 4 or name not in text


def test_the_digest_of_the_packages_is_that_of_their_lines() -> None:
    assert inventory.digest({"b": "2", "a": "1"}) == hashlib.sha256(b"a==1\nb==2\n").hexdigest()
    assert inventory.digest({"a": "1"}) != inventory.digest({"a": "1.0"})


def test_settings_are_read_by_name_but_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "net" / "ipv4"
    folder.mkdir(parents=True)
    (folder / "tcp_rmem").write_text("4096\t131072\t6291456\n")
    (folder / "tcp_fastopen_key").write_text("secret\n")
    (folder / "tcp_long").write_text("x" * 1000)
    (folder / "icmp_echo").write_text("1\n")
    assert inventory.sysctls(tmp_path) == {
        "net.ipv4.tcp_rmem": "4096 131072 6291456",
        "net.ipv4.tcp_long": "x" * inventory.LONGEST,
    }


def test_a_machine_without_programs_and_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "find", lambda name: None)
    found = inventory.inventory()
    assert (found.loopback["qdisc"], found.inner_loop.compiler) == ("", "")
    assert inventory.mitigations(tmp_path) == {} == inventory.sysctls(tmp_path)
    monkeypatch.setattr(programs, "find", lambda name: "/bin/false")
    assert inventory.inventory().loopback["qdisc"] == ""
