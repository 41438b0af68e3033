"""`python -m rtbench.records.schemas [FOLDER]`: JSON Schemas of campaign.json, manifest.json, capacity.json
and report.json.

Invariant: generated from the structs, which are what rtbench reads and writes; a test holds docs/schemas/ to them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from rtbench.records.campaign import CampaignRecord
from rtbench.records.capacity import CapacityRecord
from rtbench.records.manifest import Manifest
from rtbench.records.record import Record
from rtbench.records.report import ReportRecord

FILES: Mapping[str, type[Record]] = {
    "campaign": CampaignRecord,
    "manifest": Manifest,
    "capacity": CapacityRecord,
    "report": ReportRecord,
}
"""A file's name to what is in it."""


def text(name: str) -> str:
    """The schema of `name`.json (JSON Schema 2020-12)."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(FILES[name])}
    return re.sub(r"\\n *", " ", json.dumps(schema, indent=1)) + "\n"  # a docstring's lines are one description


def main(folder: Path) -> None:
    """Write all of them into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / f"{name}.schema.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
