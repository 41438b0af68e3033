"""What a trial's folder is called, and what a full disk comes to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rtbench.errors import UserError
from rtbench.trial import Spec
from rtbench.trial._run import store


def test_folder_is_named_by_number_and_subject(spec_of: Callable[..., Spec]) -> None:
    assert spec_of().directory == "trials/007-sse-aiohttp"
    assert spec_of("sse-aiohttp@2").directory == "trials/007-sse-aiohttp@2"


def test_a_full_disk_has_a_remedy(tmp_path: Path) -> None:
    def write() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"\(No space left on device\): free the disk.*--resume"):
        store(write, tmp_path)
