from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import matplotlib
import pytest
from matplotlib.figure import Figure as Canvas

from rtbench.analysis import figures
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather, naming
from rtbench.analysis.figures import _style
from rtbench.analysis.format import number, quantity, ratio
from rtbench.analysis.format import summary as said
from rtbench.analysis.report.page import LEAD
from rtbench.analysis.statistics.compare import Estimate, Summary


def test_the_registry_finds_files_and_refuses_a_name_twice() -> None:
    names = [f.name for f in figures.catalogue()]
    assert names[0] == "decision" and len(names) == len(set(names))
    assert set(LEAD) < set(names)  # all others are folded, in the order of the registry
    with pytest.raises(ValueError, match="twice"):
        figures.figure("decision", 1, "again")(lambda _: None)


@pytest.mark.slow
def test_drawing_leaves_matplotlib_as_it_was(evidence: Evidence) -> None:
    before = dict(matplotlib.rcParams)
    with _style.style():
        drawing = figures.catalogue()[0].draw(evidence)
        assert drawing is not None
        svg = _style.to_svg(drawing.canvas)
        assert _style.to_png(drawing.canvas).startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
    assert "<metadata" not in svg and "DOCTYPE" not in svg
    page = _style.inline(svg, "decision", "It")
    assert "var(--sse)" in page and "var(--ink)" in page and "http://" not in page
    assert page.startswith('<svg role="img" aria-label="It"')


@pytest.mark.slow
def test_memory_is_drawn_where_a_ladder_was_climbed(tmp_path: Path, make: ModuleType, evidence: Evidence) -> None:
    memory = next(figure for figure in figures.catalogue() if figure.name == "memory")
    with _style.style():
        assert memory.draw(evidence) is None  # no ladder in the golden campaign
        plan = make.Plan(
            subjects=("sse-aiohttp",),
            blocks=2,
            subscribers=3,
            window_s=1.0,
            scenario={"memory": {"ladder": [250, 1000]}},
        )
        folder = make.write(tmp_path / "a", plan)
        for file in folder.glob("trials/*/manifest.json"):
            manifest = json.loads(file.read_text())
            manifest["memory"] = {
                f"{name}bytes_per_connection": 14_000 for name in ("server_", "server_idle_", "kernel_")
            }
            file.write_text(json.dumps(manifest))
        drawing = memory.draw(gather(load(folder)))
        assert drawing is not None
    assert "through 250, 1,000 connections" in drawing.caption
    assert "n = 2 trials a subject" in drawing.caption


def test_one_colour_a_transport_one_marker_a_stack() -> None:
    assert len(set(_style.COLOURS.values())) == len(_style.COLOURS)
    assert len(set(_style.MARKERS.values())) == len(_style.MARKERS)
    assert _style.colour("carrier-pigeon") == _style.colour("carrier-pigeon") not in _style.COLOURS.values()
    assert _style.marker("loft") not in _style.MARKERS.values()


@pytest.mark.slow
def test_two_subjects_that_would_look_alike_have_other_colours_and_marks(tmp_path: Path, make: ModuleType) -> None:
    folder = make.write(tmp_path / "a", make.Plan(subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=1))
    for file in (folder / "campaign.json", *folder.glob("trials/*/manifest.json")):
        file.write_text(file.read_text().replace('"transport": "websocket"', '"transport": "sse"'))
    base, head = gather(load(folder)).subjects
    assert (base.transport, base.stack, base.twin) == (head.transport, head.stack, 0) and head.twin == 1
    assert _style.ink_of(base) != _style.ink_of(head) and _style.shape_of(base) != _style.shape_of(head)
    assert _style.swatch(base) != _style.swatch(head)


def test_axes_with_nothing_on_them() -> None:
    from rtbench.analysis.figures._dots import room

    axes = Canvas().subplots()
    room(axes, [axes])
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8_710_000, "ns", "8.71 ms"), (999_700, "ns", "1.00 ms"), (12_300, "ns", "12.3 µs"), (3.2e9, "ns", "3.20 s"),
        (5, "ns", "5.00 ns"), (0, "ns", "0 ns"), (190, "bytes", "190 B"), (40_960, "bytes", "40.0 KiB"),
        (3 * 2**20, "bytes", "3.00 MiB"), (0.123, "share", "12.3 %"), (1234567, "messages", "1,234,567"),
        (2.5, "messages", "2.50"), (0.2, "requests", "0.200"), (1000.0, "hz", "1,000 /s"), (None, "ns", "–"),
    ],
)  # fmt: skip
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_ratios_and_summaries() -> None:
    row = Estimate("m", "a", "b", 1.32, 1.25, 1.4, 0.95, 3, False)
    assert ratio(row) == "1.32× [1.25, 1.40]"
    assert said(None) == "–"
    assert said(Summary("a", "m", "ns", 1, 5e6, None, None)) == "5.00 ms"
    assert said(Summary("a", "m", "ns", 3, 5e6, 4e6, 6.5e6)) == "5.00 ms [4.00, 6.50]"
    assert (number(0), number(-0.00123), number(12345.6)) == ("0", "-0.00123", "12,346")
    assert _style.short(0, "ns") == "0" and _style.short(2e6, "ns") == "2 ms"


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0.5, 150, 4, [1, 10, 100]), (150, 480, 4, [150, 250, 350, 450]), (170, 340, 4, [200, 250, 300]),
        (90, 520, 4, [100, 200, 500]),
        (1e3, 1e10, 4, [1e3, 1e5, 1e7, 1e9]), (2, 3.1, 6, [2, 2.5, 3]), (1.02, 1.08, 4, [1.025, 1.05, 1.075]),
    ],
)  # fmt: skip
def test_ticks_of_a_logarithmic_axis_are_round_and_few(low: float, high: float, most: int, ticks: list[float]) -> None:
    found = _style.log_ticks(low, high, most)
    assert found == pytest.approx(ticks) and len(found) <= most


def test_an_interval_of_two_trials_does_not_stretch_the_axis() -> None:
    from rtbench.analysis.figures._dots import room

    axes = Canvas().subplots()
    axes.plot([2.0], [0], marker="o")
    axes.plot([1e-9, 1e9], [0, 0])
    room(axes, [axes])
    assert axes.get_xlim() == pytest.approx((0.2, 20))
    assert said(Summary("a", "m", "ns", 2, 5e6, 1e-3, 6e20)) == "5.00 ms [1e-09, 6e+14]"


def test_every_marker_has_a_swatch_and_names_are_escaped_in_files() -> None:
    from matplotlib.lines import Line2D

    shapes = {*_style.MARKERS.values(), *_style._SPARE_MARKERS}
    assert shapes == set(_style._SHAPES) and shapes <= set(Line2D.markers)
    canvas = Canvas()
    (line,) = canvas.subplots().plot([1, 2], [1, 2])
    _style.mark(line, 'a"<b>&', "1 < 2 | 3")
    with _style.style():
        svg = _style.to_svg(canvas)
    assert "<g data-subject='a\"&lt;b&gt;&amp;'><title>1 &lt; 2 ¦ 3</title>" in svg


@pytest.mark.slow
def test_trials_that_do_not_count_are_crosses_and_are_joined_to_nothing(tmp_path: Path, make: ModuleType) -> None:
    replication = next(figure for figure in figures.catalogue() if figure.name == "replication")
    plan = make.Plan(
        subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=2, subscribers=3, window_s=1.0, invalid={2: ("*",)}
    )
    evidence = gather(load(make.write(tmp_path / "a", plan)))
    with _style.style():
        drawing = replication.draw(evidence)
        assert drawing is not None
        svg = _style.to_svg(drawing.canvas)
    assert "crosses: values of 1 trials that do not count" in drawing.caption and "n = 4 trials" in drawing.caption
    aside = evidence.results[1].trial
    words = naming.headings(evidence.subjects)[aside.subject]
    assert svg.count(f"<title>{words}, trial 2, block 1: ") == 4  # one a panel
    assert svg.count(", does not count</title>") == 4
    with_values = [line for line in drawing.canvas.axes[0].get_lines() if len(line.get_xydata()) == 2]
    assert len(with_values) == 1  # the subject whose trials both count
