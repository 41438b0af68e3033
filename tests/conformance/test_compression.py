"""A server whose compressor holds events back is found, and named by its coding."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtbench.conformance import catalogue
from rtbench.conformance import verify as verify_module
from rtbench.scenario.model import Scenario
from rtbench.subjects.registry import Registry, find

pytestmark = pytest.mark.slow

HOLDS_BACK = """
import zlib
from dataclasses import replace
from rtbench.servers import sse_aiohttp
from rtbench.servers.kit import compression


async def serve(server):
    compression.pressed = lambda coding: zlib.compressobj(6, zlib.DEFLATED, -15).compress
    await sse_aiohttp.serve(server)


SUBJECT = replace(sse_aiohttp.SUBJECT, name="sse-holds-back", serve=serve)
"""
IGNORES_IT = """
from dataclasses import replace
from rtbench.servers import sse_aiohttp_sse

SUBJECT = replace(sse_aiohttp_sse.SUBJECT, name="sse-ignores-it", codings=frozenset({"gzip"}))
"""


def problems(tmp_path: Path, source: str, coding: str = "gzip") -> list[str]:
    path = tmp_path / "mine.py"
    path.write_text(source)
    cases = [catalogue()[f"compression-{coding}"]]
    registry, name = Registry().reading(str(path))
    return verify_module._verify_codings(registry.find(name), Scenario(), None, cases, 1.0, None).problems


def test_a_compressor_that_is_not_flushed(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, HOLDS_BACK)
    assert problem.startswith("compression-gzip: compressed with gzip, 0 of 20 messages came within 1 s")
    assert problem.endswith("flush after each message")


def test_a_server_that_does_not_compress_as_it_declares(tmp_path: Path) -> None:
    found = problems(tmp_path, IGNORES_IT)
    assert found == ["compression-gzip: the client offered gzip, the response has no coding"]


def test_a_server_that_declares_nothing_is_skipped() -> None:
    subject = find("sse-aiohttp-sse")
    if subject.missing()[0]:
        pytest.skip("aiohttp-sse is missing: make setup")
    cases = [catalogue()["compression-zstd"]]
    (result,) = verify_module._verify_codings(subject, Scenario(), None, cases, 3.0, None).cases
    assert (result.status, result.problems) == ("skipped", ("it does not compress with zstd",))
