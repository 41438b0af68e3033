"""Subjects' names and modules: `sse-aiohttp` is `servers/sse_aiohttp.py`.

Invariant: a server process finds its module by its name and imports no other subject. Called by the
registry and by `python -m rtbench.servers`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from pathlib import Path

from rtbench.errors import UserError
from rtbench.subjects.model import Subject

PACKAGE = "rtbench.servers"
FAULTY = f"{PACKAGE}.faulty"
"""The fault-injecting subjects (R16): found by name, never listed, in no shipped scenario."""

LABEL = "@"
"""`NAME@LABEL` is the subject NAME under a second label: an A/A control (R9)."""
BEHIND = "+"
"""`NAME+PROXY` is the subject NAME behind a proxy."""


_UNSAFE = re.compile(r"[^A-Za-z0-9@+._-]+")


def folder_of(name: str) -> str:
    """A name, or a URL, as the name of a folder: one that is seen, and that leads nowhere else."""
    return _UNSAFE.sub("-", name).lstrip("-.").rstrip("-")[:80] or "unnamed"


def base_of(name: str) -> str:
    """A subject's name without label and proxy."""
    return name.partition(LABEL)[0].partition(BEHIND)[0]


def module_of(name: str) -> str:
    """The module of a shipped subject."""
    return f"{FAULTY if is_faulty(name) else PACKAGE}.{base_of(name).replace('-', '_')}"


def is_faulty(name: str) -> bool:
    """Whether a subject injects faults, by its name."""
    return base_of(name).endswith("-faulty")


def module_at(module: str, what: str = "") -> Subject:
    """The SUBJECT of a module, given by name or file. Raises UserError when there is none."""
    remedy = "define SUBJECT = Subject(…) in it; see README, Your own server"
    if module.endswith(".py"):
        path = Path(module)
        if not os.path.lexists(path):
            raise UserError(f"{module} does not exist", "give a Python file that defines SUBJECT")
        spec = importlib.util.spec_from_file_location(f"rtbench_subject_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(loaded)
        except Exception as error:
            raise UserError(f"{module} cannot be imported ({type(error).__name__}: {error})", remedy) from error
    else:
        loaded = importlib.import_module(module)
    subject = getattr(loaded, "SUBJECT", None)
    if not isinstance(subject, Subject):
        raise UserError(f"{what or module} does not define SUBJECT", remedy)
    return subject
