"""Known truths from end to end (R16): what a fault-injecting server does is in the manifest, message by message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtbench.campaign import calibrate
from rtbench.conformance import HTTP
from rtbench.scenario import loading

KINDS = {"drop": "lost", "duplicate": "duplicated", "reorder": "reordered", "corrupt": "corrupted"}
FAULTS = loading.load(str(calibrate.FOLDER / "faults.toml")).as_dict()


@pytest.mark.slow
@pytest.mark.parametrize("transport", HTTP)
def test_exactly_the_injected_messages_are_lost_duplicated_reordered_and_corrupted(
    transport: str, measure: Callable[..., Any]
) -> None:
    """The calibration's own faults, on fewer subscribers and in a shorter window."""
    whole = measure(
        f"{transport}-faulty",
        subjects=[f"{transport}-faulty"],
        subscribers=9,
        window_s=1.2,
        grace_s=1,
        workload=FAULTS["workload"],
        poll=FAULTS["poll"],
        faults={"inject": FAULTS["faults"]["inject"]},
    )
    manifest = whole.manifest
    assert (manifest["status"], manifest["reasons"]) == ("ok", [])
    inside = whole.due_inside()
    assert len(inside) == 24
    truth = {
        KINDS[row["do"]]: [
            (who, seq) for seq in inside if seq % row["every"] == row["of"] for who in row["subscribers"]
        ]
        for row in FAULTS["faults"]["inject"]
    }
    assert truth.keys() == set(KINDS.values())
    assert min(map(len, truth.values())) >= 2
    for kind, pairs in truth.items():
        assert sorted(map(tuple, manifest["audit"][kind])) == sorted(pairs), kind
        assert manifest["counts"][kind] == len(pairs)
    assert manifest["counts"]["delivered"] == 9 * 24 - len(truth["lost"])
    assert [row["do"] for row in manifest["faults"]["inject"]] == list(KINDS)
    # Whoever is not named has every message once, in order, undamaged.
    deliveries, ticks = whole.table("deliveries"), whole.table("ticks")
    digest = dict(zip(ticks["seq"].tolist(), ticks["digest"].tolist(), strict=True))
    for who in (0, 1, 2, 8):
        mine = (deliveries["subscriber"] == who) & np.isin(deliveries["seq"], inside)
        assert deliveries["seq"][mine].tolist() == inside
        assert deliveries["digest"][mine].tolist() == [digest[seq] for seq in inside]
    assert whole.alive == []
