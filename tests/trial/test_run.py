"""Where a trial runs, what its folder is called, and what a full disk comes to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbench.errors import UserError
from rtbench.trial import Place, Spec
from rtbench.trial._run import store


@pytest.mark.parametrize(
    ("cores", "server", "load", "publisher"),
    [
        ({3}, (3,), (3,), (3,)),
        ({0, 1}, (0,), (1,), (1,)),
        ({5, 2, 9}, (2,), (9,), (5,)),
        ({0, 1, 2, 3}, (0,), (2, 3), (1,)),
    ],
)
def test_server_has_the_first_core_for_itself(
    monkeypatch: pytest.MonkeyPatch,
    cores: set[int],
    server: tuple[int, ...],
    load: tuple[int, ...],
    publisher: tuple[int, ...],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert Place.here() == Place(server, load, publisher)


def test_folder_is_named_by_number_and_subject(spec_of: Callable[..., Spec]) -> None:
    assert spec_of().directory == "trials/007-sse-aiohttp"
    assert spec_of("sse-aiohttp@2").directory == "trials/007-sse-aiohttp@2"


def test_a_full_disk_has_a_remedy(tmp_path: Path) -> None:
    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"\(No space left on device\): free the disk.*--resume"):
        store(write, tmp_path)
