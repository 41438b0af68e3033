"""The inner loop in C under the address and undefined-behaviour sanitizers, driven with hostile bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtbench.machine.inner_loop import FLAGS, SOURCE

SANITIZE = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
CHILD = Path(__file__).parent / "hostile_reads.py"
PATIENCE_S = 300

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runtime() -> str:
    """The sanitizer's library, which the child has to load before all others."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: apt-get install gcc libc6-dev")
    found = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("needs gcc's sanitizers: apt-get install gcc")
    return found


def build(source: str, folder: Path) -> Path:
    library = folder / "inner-loop.so"
    command = ["cc", *SANITIZE, *FLAGS, "-o", str(library)]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True, timeout=PATIENCE_S)
    return library


def drive(library: Path, runtime: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",  # CPython keeps its memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=98",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, str(CHILD), str(library)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_hostile_bytes_do_nothing_that_c_does_not_define(tmp_path: Path, runtime: str) -> None:
    done = drive(build(SOURCE.read_text(), tmp_path), runtime)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reads 366 bytes ")


@pytest.mark.parametrize(
    ("right", "wrong", "report"),
    [
        ("s->reads + 3 * s->made++", "s->reads + 3 * (s->most + s->made++)", "AddressSanitizer: heap-buffer-overflow"),
        (
            "char *stamp = s->stamps + 16 * s->made;",
            "char *stamp = s->stamps + 16 * s->made + (1 << s->most);",
            "shift exponent",
        ),
    ],
)
def test_the_sanitizers_find_a_planted_fault(tmp_path: Path, runtime: str, right: str, wrong: str, report: str) -> None:
    source = SOURCE.read_text()
    assert source.count(right) == 1
    done = drive(build(source.replace(right, wrong), tmp_path), runtime)
    assert done.returncode in (98, 99)
    assert report in done.stderr
