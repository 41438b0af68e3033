from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import scipy

import rtbench.analysis
from rtbench.analysis.campaigns.load import load
from rtbench.analysis.evidence import Evidence, gather, naming
from rtbench.analysis.report import tables
from rtbench.analysis.report.report import Report, build, remove
from rtbench.errors import ResultsError
from rtbench.records.campaign import load_calibration
from rtbench.records.tables import write_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """The report of the golden campaign, and its folder."""
    folder = tmp_path_factory.mktemp("golden-report")
    return build([golden], folder), folder


@pytest.fixture(scope="module")
def out(built: tuple[Report, Path]) -> Path:
    return built[1]


class Tags(HTMLParser):
    """Checks that tags close in order and collects ids and what loads something."""

    VOID = ("meta", "br", "img", "link", "input", "hr", "path", "use", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "srcset") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_no_network(out: Path) -> None:
    page = (out / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == [] and tags.loads == []
    assert len(tags.ids) == len(set(tags.ids))
    assert not re.search(r"https?://|=.//|@import|<script .|url\((?!#)|fetch\(|localStorage", page)
    assert page.count("<script>") == 1 and "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert len(page) < 5_000_000
    for name in ("decision", "latency", "parts", "cpu", "traffic", "setup", "replication", "timeline"):
        assert page.count(f'<figure id="{name}">') == 1
        for kind in ("svg", "png"):
            assert (out / f"figures/{name}.{kind}").stat().st_size > 1000
    # the answer comes first, then one table and the figure that decides, and what speaks against it before the rest
    order = ('class="answer"', 'id="results"', 'id="decision"', "Before you believe it", "How to read it",
             'id="comparisons"', 'id="more-figures"', "Audit of deliveries", "how to repeat it")  # fmt: skip
    places = [page.index(words) for words in order]
    assert places == sorted(places)
    folded = page[page.index('id="more-figures"') : page.index('id="trials"')]
    assert page.count("<figure ") - folded.count("<figure ") == 3


def test_what_a_poll_costs_multiplies_out(out: Path) -> None:
    """Only what polls has a row, and each row's last number is the product of the first two, as far as digits go."""
    table = (out / "report.md").read_text().split("**What a poll costs**")[1].split("\n\n")[1].splitlines()
    (cells,) = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert cells[0] == "short-poll-aiohttp"
    assert "**What a push costs**" in (out / "report.md").read_text()
    unit = {"ns": 1.0, "µs": 1e3, "ms": 1e6}
    request, message = (float(digits) * unit[name] for digits, name in (cell.split() for cell in cells[2:4]))
    assert float(cells[1]) * request == pytest.approx(message, rel=0.01)
    page = (out / "report.html").read_text()
    section = page[page.index('<section id="costs">') :]
    assert all(cell in section[: section.index("</section>")] for cell in cells[1:4])


def test_how_each_row_and_figure_was_made(out: Path, golden: Path) -> None:
    page = html.unescape((out / "report.html").read_text())
    document = json.loads((golden / "campaign.json").read_text())
    report = json.loads((out / "report.json").read_text())
    drawers = re.findall(r'<dl class="made".*?</dl>', page, re.DOTALL)
    assert len(drawers) == page.count("<figure ") + len(report["subjects"])
    for drawer in drawers:
        for words in (document["command"], document["scenario_hash"], f"seed {document['seed']}", "Trials used"):
            assert words in drawer
    for place, subject in enumerate(report["subjects"], 1):
        drawer = page[page.index(f'id="made-{place}"') :].partition("</dl>")[0]
        assert f"of {subject['trials']})" in drawer and "Nearest rank" in drawer
        assert f'href="#made-{place}"' in page
        for trial in report["trials"]:
            for metric, why in trial["left_out"].items() if trial["subject"] == subject["subject"] else ():
                if f"<code>{metric}</code>" in drawer:
                    assert f"trial {trial['trial']} (" in drawer and why.partition("; ")[0] in drawer
    assert re.search(r"<td>3 blocks, q = [\d.e-]+ \(", page)


@pytest.mark.usefixtures("few_figures")
def test_a_failed_run_leaves_no_empty_section(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a")
    for file in folder.glob("trials/*/manifest.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "failed", "window": None}))
    page = build([folder]).path.read_text()
    gone = ("results", "comparisons", "latencies", "costs", "bytes", "more-figures", "deliveries", "claims", "advice",
            "method", "fairness")  # fmt: skip
    for name in gone:
        assert f'id="{name}"' not in page and f'href="#{name}"' not in page
    assert "Every metric" not in page and "How to read it" not in page and page.count("What went wrong") == 1
    links, ids = re.findall(r'href="#([\w-]+)"', page), re.findall(r'\bid="([\w-]+)"', page)
    assert set(links) <= set(ids) and re.findall(r"<h2[^>]*>(.*?)</h2>", page)[1] == "Trials"


def test_captions_say_n_and_the_interval(out: Path) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", (out / "report.html").read_text(), re.DOTALL)
    assert len(captions) == 8
    for caption in captions:
        assert re.search(r"n = |\(\d+ trials\)", caption) and re.search(r"interval|never averaged", caption)


def test_the_first_screen(built: tuple[Report, Path]) -> None:
    report, out = built
    page = (out / "report.html").read_text()
    assert report.exit_code == 0 and 1 <= len(report.headlines) <= 4
    assert all(len(line) <= 120 for line in report.headlines)
    counts = "2 lost, 3 duplicated, 1 reordered, 2 corrupted of 7,040 expected deliveries"
    assert report.headlines[-1] == f"{counts}; 10 of 12 trials valid (1 invalid, 1 failed)"
    markdown = (out / "report.md").read_text()
    for line in (*report.headlines, report.next):
        assert (
            line in html.unescape(re.sub("</?(b|code)>", "", page).replace("&#39;", "'")).replace("`", "")
            or "`" in line
        )
        assert line in markdown
    assert "*usual stack*: " in markdown and "stacks differ" in markdown
    (row,) = [line for line in markdown.splitlines() if line.startswith("| SSE on aiohttp<br><sub>`sse-aiohttp`")]
    assert row.endswith(" | 2 | 2 of 3 |") and " <sub>[" in row
    audit = page[page.index('id="deliveries"') :]
    audited = audit[audit.index('<tr data-subject="websocket-websockets">') :].partition("</tr>")[0]
    assert "<td>3</td>" in audited
    for words in (
        "the load generator read late",
        "the server ended with 139",
        "joins small writes",
        "rtbench calibrate",
        "one machine, loopback",
        "No A/A",
    ):
        assert words.lower() in page.lower()
    assert any("trial 11" in line for line in report.caveats)


def test_same_files_same_bytes(out: Path, golden: Path, tmp_path: Path) -> None:
    build([golden], tmp_path / "again")
    for file in out.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "again" / file.relative_to(out)).read_bytes(), file


def test_markdown_fits_a_comment(out: Path) -> None:
    text = (out / "report.md").read_text()
    assert len(text) < 60_000
    for block in re.split(r"\n\n", text):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1
    assert "**Doubts**" in text


def test_csv_is_tidy(out: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((out / "metrics.csv").read_text())))
    heads = ["trial", "subject", "block", "status", "metric", "unit", "value", "attempt", "counts", "why"]
    assert list(rows[0]) == heads
    aside = {row["metric"]: row["why"] for row in rows if row["counts"] == "false"}
    assert {row["trial"] for row in rows if row["counts"] == "false"} == {"6"}
    assert "latency_app_p50_ns" in aside and "lost" not in aside
    assert set(aside.values()) == {"the load generator read late"}
    assert {r["trial"] for r in rows} == {str(n) for n in range(1, 13) if n != 11}
    assert all(float(r["value"]) == float(r["value"]) for r in rows)


@pytest.mark.usefixtures("few_figures")
def test_what_users_wrote_is_escaped(tmp_path: Path, make: ModuleType) -> None:
    evil = '<script>alert(1)</script> | `x` & "q"'
    plan = make.Plan(
        subjects=("sse-aiohttp", "websocket-aiohttp"), blocks=2, subscribers=2, window_s=1.0,
        scenario={"name": evil, "description": evil}, campaign=evil, environment={"note": evil},
        warnings=({"kind": evil, "message": evil, "remedy": evil, "metrics": []},), extra={"command": evil},
    )  # fmt: skip
    folder = make.write(tmp_path / "a", plan)
    build([folder])
    page = (folder / "report/report.html").read_text()
    assert "<script>alert" not in page and page.count("<script") == 1 and "&lt;script&gt;alert" in page
    markdown = (folder / "report/report.md").read_text()
    assert "<script" not in markdown
    json.loads((folder / "report/report.json").read_text())


def small(make: ModuleType, folder: Path, **plan: Any) -> Path:
    base = {"subjects": ("sse-aiohttp", "websocket-aiohttp"), "blocks": 2, "subscribers": 3, "window_s": 1.0}
    return Path(make.write(folder, make.Plan(**(base | plan))))


@pytest.mark.usefixtures("few_figures")
def test_one_trial(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a", interrupted_after=1)
    report = build([folder])
    assert report.exit_code == 3 and report.path == folder / "report/report.html"
    assert any("1 of 4 planned trials" in line for line in report.caveats)
    assert any("1 usable trial:" in line for line in report.caveats)
    assert "There is nothing to compare" in report.path.read_text()
    assert "this campaign was interrupted" in report.path.read_text()
    remove(folder)
    assert not report.path.exists() and (folder / "campaign.json").exists()


@pytest.mark.usefixtures("few_figures")
def test_one_trial_each(tmp_path: Path, make: ModuleType) -> None:
    report = build([small(make, tmp_path / "a", blocks=1)])
    assert (
        report.exit_code == 3 and "WebSocket against SSE on aiohttp: too few blocks to compare" in report.headlines[0]
    )
    assert "too few blocks" in report.path.read_text()


@pytest.mark.usefixtures("few_figures")
def test_nothing_but_failures_and_nothing_at_all(tmp_path: Path, make: ModuleType) -> None:
    report = build([small(make, tmp_path / "a", failed=(1, 2, 3, 4))])
    (line,) = report.headlines
    assert report.exit_code == 3 and line.startswith("Nothing was measured: 4 trials failed")
    assert report.next == "Next: `rtbench verify sse-aiohttp` lists what the subject does wrong."
    assert "| |" not in (report.path.parent / "report.md").read_text()
    report = build([small(make, tmp_path / "b", interrupted_after=0)])
    assert report.exit_code == 3
    command = {"command": "rtbench run ci --out there --subjects sse-aiohttp"}
    report = build([small(make, tmp_path / "d", invalid=dict.fromkeys((1, 2, 3, 4), ("*",)), extra=command)])
    assert report.next.startswith("Next: `rtbench run ci --subjects sse-aiohttp` again, on a machine that does nothing")
    report = build([small(make, tmp_path / "c", interrupted_after=0, extra={"subjects": []})])
    assert report.exit_code == 3 and "Nothing was measured" in report.headlines[0]


@pytest.mark.usefixtures("few_figures")
def test_no_delivery_in_the_whole_campaign(tmp_path: Path, make: ModuleType) -> None:
    from rtbench.records.tables import concatenate, write_table

    folder = small(make, tmp_path / "a")
    for file in folder.glob("trials/*/deliveries.parquet"):
        write_table(file, "deliveries", concatenate("deliveries", []))
    report = build([folder])
    assert report.headlines[-1] == "120 lost of 120 expected deliveries; 4 of 4 trials valid"
    assert report.exit_code == 0


@pytest.mark.usefixtures("few_figures")
def test_application_latency_is_headlined_where_there_are_no_stamps(tmp_path: Path, make: ModuleType) -> None:
    from rtbench.records.tables import read_table, write_table

    folder = small(make, tmp_path / "a", subjects=("sse-aiohttp",))
    for file in folder.glob("trials/*/deliveries.parquet"):
        table = read_table(file, "deliveries")
        write_table(file, "deliveries", table | {"kernel_ns": table["kernel_ns"] * 0 - 1})
    report = build([folder])
    assert "the kernel stamped too few messages" in report.path.read_text()
    assert "client's application" in report.path.read_text().replace("&#39;", "'")


@pytest.mark.usefixtures("few_figures")
def test_a_damaged_trial_is_reported_once(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a", blocks=3)
    next(folder.glob("trials/001-*/ticks.parquet")).unlink()
    report = build([folder])
    assert len([line for line in report.caveats if "ticks.parquet: is missing" in line]) == 1
    assert report.exit_code == 0


def as_json(report: Report) -> dict[str, Any]:
    return dict(json.loads((report.path.parent / "report.json").read_text()))


def seen(report: Report) -> str:
    return html.unescape(report.path.read_text())


@pytest.mark.usefixtures("few_figures")
def test_noise_floor_of_a_campaign_with_a_pair_of_its_own(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a", subjects=("sse-aiohttp", "sse-aiohttp@2", "websocket-aiohttp"), blocks=3)
    report = build([folder])
    found = as_json(report)
    floor = found["noise_floor"]
    assert (floor["source"], floor["pairs"], floor["blocks"]) == ("campaign", [["sse-aiohttp", "sse-aiohttp@2"]], 3)
    values = {
        subject: {
            t["block"]: t["metrics"]["server_cpu_ns_per_message"] for t in found["trials"] if t["subject"] == subject
        }
        for subject in floor["pairs"][0]
    }
    squares = [math.log(values["sse-aiohttp@2"][block] / value) ** 2 for block, value in values["sse-aiohttp"].items()]
    expected = math.exp(scipy.stats.t.ppf(0.975, 3) * math.sqrt(sum(squares) / 3) / math.sqrt(3))
    assert floor["metrics"]["server_cpu_ns_per_message"] == pytest.approx(expected)
    assert ", and it is beyond the noise floor." in seen(report)
    (caveat,) = [w for w in found["warnings"] if w["kind"] == "noise-floor"]
    assert caveat["message"].startswith("noise floor over 3 blocks, from its own A/A pair: ")
    assert f"server cpu per message {expected - 1:.1%}" in caveat["message"]
    # A difference within the floor is none.
    for one in found["comparisons"]:
        limit = floor["metrics"].get(one["metric"], 1.0)
        if abs(math.log(one["ratio"])) <= math.log(limit):
            assert one["verdict"] not in ("a lower", "a higher")


def calibrated(machine: Any = "elsewhere", met: bool = True, noise: dict[str, Any] | None = None) -> dict[str, Any]:
    """A machine's calibration, as calibration.json has it."""
    rows = [
        ("delay of 5 ms, sse", 5.0, 5.12, True),
        ("delay of 20 ms, sse", 20.0, 19.81, True),
        ("lost, sse", 8, 8, met),
    ]
    return {
        "environment": {"machine": machine},
        "measured_unix": 1_795_490_100,
        "met": met,
        "checks": [
            {
                "name": name,
                "expected": expected,
                "measured": measured,
                "unit": "ms",
                "allowed": "± 0.3 ms",
                "met": ok,
                "deviation": measured - expected,
            }
            for name, expected, measured, ok in rows
        ],
        "noise": {"source": "calibrate", "metrics": noise or {}},
    }


@pytest.mark.usefixtures("few_figures")
def test_noise_floor_of_the_machine_for_a_campaign_without_a_pair(tmp_path: Path, make: ModuleType) -> None:
    noise = {
        "server_cpu_ns_per_message": {"sd": 0.3, "blocks": 6},
        "tcp_down_bytes_per_message": {"sd": 0.0, "blocks": 6},
    }
    known = calibrated(noise=noise)
    plain = small(make, tmp_path / "a", blocks=4)
    before = {c["metric"]: c for c in as_json(build([plain]))["comparisons"]}
    assert before["server_cpu_ns_per_message"]["verdict"] == "a lower"
    folder = small(make, tmp_path / "b", blocks=4, extra={"calibration": known})
    found = as_json(build([folder]))
    floor = found["noise_floor"]
    assert (floor["source"], floor["pairs"], floor["blocks"]) == ("calibration", [], 4)
    expected = math.exp(scipy.stats.t.ppf(0.975, 6) * 0.3 / math.sqrt(4))
    assert floor["metrics"] == {
        "server_cpu_ns_per_message": pytest.approx(expected),
        "tcp_down_bytes_per_message": 1.0,
    }
    after = {c["metric"]: c for c in found["comparisons"]}
    cpu = after["server_cpu_ns_per_message"]
    assert 1 / expected < cpu["ratio"] < 1 and cpu["high"] < 1  # its interval does not hold 1
    assert (cpu["verdict"], cpu["within_floor"], cpu["limited_by"]) == ("not resolved", True, "noise floor")
    assert after["tcp_down_bytes_per_message"] == {**before["tcp_down_bytes_per_message"], "noise_floor": 1.0}
    assert any("from this machine's A/A control" in w["message"] for w in found["warnings"])


@pytest.mark.usefixtures("few_figures")
def test_thresholds(tmp_path: Path, make: ModuleType) -> None:
    limits = {
        "sse-aiohttp.latency_app_p50_ns": {"max": 1.0},
        "sse-aiohttp.delivered_hz": {"min": 1e9},
        "sse-aiohttp.lost": {"max": 0},
        "nobody.lost": {"max": 0},
    }
    report = build([small(make, tmp_path / "a", scenario={"thresholds": limits})])
    assert report.exit_code == 1
    told = " ".join(report.caveats)
    assert "ms, above the limit of 1.00 ns" in told and "/s, below the limit of 1,000,000,000 /s" in told
    assert "nobody.lost has a limit but no value" in told


@pytest.mark.usefixtures("few_figures")
def test_the_calibration_of_a_campaign_is_quoted(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a", extra={"calibration": calibrated()})
    report = build([folder])
    text = "calibrated on 2026-11-24: 3 of 3 known truths met, known delays to 0.19 ms"
    assert (text in seen(report), "not calibrated" in seen(report)) == (True, False)
    assert not any("calibrat" in caveat for caveat in report.caveats)  # nothing grave
    assert as_json(report)["calibration"] == calibrated()
    rows = re.findall(r"<tr><th scope=\"row\">(delay of|lost).*?</tr>", report.path.read_text())
    assert len(rows) == 3
    assert re.search(
        r'delay of 5 ms, sse</th><td>5.00 ms</td><td>5.12</td><td>\+0.12</td><td class="text">± 0.3 ms</td><td>yes<',
        seen(report),
    )
    assert text in (folder / "report/report.md").read_text()


@pytest.mark.usefixtures("few_figures")
def test_a_truth_that_was_not_met_is_on_the_first_screen(tmp_path: Path, make: ModuleType) -> None:
    report = build([small(make, tmp_path / "a", extra={"calibration": calibrated(met=False)})])
    (line,) = [caveat for caveat in report.caveats if "known truths" in caveat]
    assert "2 of 3 known truths met" in line
    assert line.endswith("not met: lost, sse (run `rtbench calibrate`)")
    assert re.search(r"lost, sse</th>.*?<td class=\"bad\">no</td>", report.path.read_text())


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize(("loop", "said"), [("C", False), ("Python", True), (None, False)])
def test_a_calibration_with_another_inner_loop_says_so(
    tmp_path: Path, make: ModuleType, loop: str | None, said: bool
) -> None:
    known = calibrated()
    known["environment"]["inner_loop"] = loop
    folder = small(make, tmp_path / "a", extra={"calibration": known}, environment={"inner_loop": "C"})
    text = "calibrated with the load generator's inner loop in Python, measured with the one in C"
    assert (text in seen(build([folder]))) == said


@pytest.mark.usefixtures("few_figures")
def test_a_calibration_without_delays_has_no_error_of_delays(tmp_path: Path, make: ModuleType) -> None:
    known = calibrated()
    known["checks"] = known["checks"][2:]
    report = build([small(make, tmp_path / "a", extra={"calibration": known})])
    assert "calibrated on 2026-11-24: 1 of 1 known truths met<" in report.path.read_text()


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize("kept", [None, "one"])
def test_a_calibration_that_is_named_is_taken_and_named(tmp_path: Path, make: ModuleType, kept: str | None) -> None:
    extra = {"calibration": calibrated(met=False)} if kept else {}
    folder = small(make, tmp_path / "a", extra=extra)
    machine = json.loads((folder / "campaign.json").read_text())["environment"]["machine"]
    assert as_json(build([folder]))["calibration"] == extra.get("calibration")  # no other
    known = calibrated(machine, noise={"server_cpu_ns_per_message": {"sd": 0.1, "blocks": 6}}) | {"schema": 1}
    file = tmp_path / "golden.json"
    write_json(file, known)
    report = build([folder], calibration=load_calibration(file))
    assert as_json(report)["calibration"] == known | {"file": "golden.json"}
    assert as_json(report)["noise_floor"]["metrics"].keys() == {"server_cpu_ns_per_message"}
    text = "calibrated on 2026-11-24 (golden.json, named by --calibration): 3 of 3 known truths met"
    assert text in seen(report) and text in (folder / "report/report.md").read_text()


def test_a_calibration_of_another_machine_is_refused(tmp_path: Path, make: ModuleType) -> None:
    with pytest.raises(ResultsError, match=r"the calibration is of machine \{'name': 'another'\}, .*/a of "):
        build([small(make, tmp_path / "a")], calibration=calibrated({"name": "another"}))
    write_json(tmp_path / "damaged.json", {"checks": []})
    with pytest.raises(ResultsError, match=r"damaged\.json: measured_unix is missing: name a file that"):
        load_calibration(tmp_path / "damaged.json")
    with pytest.raises(ResultsError, match=r"nowhere\.json: is missing"):
        load_calibration(tmp_path / "nowhere.json")


@pytest.mark.usefixtures("few_figures")
def test_nothing_at_all_on_a_calibrated_machine(tmp_path: Path, make: ModuleType) -> None:
    known = calibrated(noise={"server_cpu_ns_per_message": {"sd": 0.1, "blocks": 6}})
    extra = {"subjects": [], "calibration": known}
    report = build([small(make, tmp_path / "a", interrupted_after=0, extra=extra)])
    assert report.exit_code == 3 and "Nothing was measured" in report.headlines[0]
    assert as_json(report)["noise_floor"]["blocks"] == 0


@pytest.mark.usefixtures("few_figures")
def test_what_is_only_good_to_know_is_not_an_asymmetry(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a")
    for number, file in enumerate(sorted(folder.glob("trials/*/manifest.json"))):
        manifest = json.loads(file.read_text())
        manifest["fairness"] |= {"observed": {"send_buffer_bytes": 1000 + number}, "technique": f"t{number}"}
        manifest["fairness"]["backlog"] = 4096 if number else 100
        manifest["fairness"]["heartbeat_s"] = 15.0 if number else 15  # as Python and as JavaScript write it
        file.write_text(json.dumps(manifest))
    found = [w["message"] for w in as_json(build([folder]))["warnings"] if w["kind"] == "asymmetry"]
    assert len(found) == 1 and found[0].startswith("subjects differ in backlog: 100 in ")


@pytest.mark.usefixtures("few_figures")
def test_asymmetries_are_reported(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a", subjects=("sse-aiohttp", "websocket-websockets"))
    for file in folder.glob("trials/*websockets/manifest.json"):
        manifest = json.loads(file.read_text())
        manifest["fairness"]["compression"] = True
        manifest["arm"] = "controlled"
        file.write_text(json.dumps(manifest))
    campaign = json.loads((folder / "campaign.json").read_text())
    campaign["subjects"][1]["arm"] = "controlled"
    (folder / "campaign.json").write_text(json.dumps(campaign))
    report = build([folder])
    said = "differ in compression: false in sse-aiohttp; true in websocket-websockets"  # in the scenario's order
    assert any(said in caveat for caveat in report.caveats)
    assert "write to many connections in different ways" in report.path.read_text()


@pytest.mark.usefixtures("few_figures")
def test_an_asymmetry_of_all_cells_is_reported_once(tmp_path: Path, make: ModuleType) -> None:
    """Whatever the order of the trials in each."""
    folder = small(make, tmp_path / "a", cells=({"subscribers": 2}, {"subscribers": 4}))
    for file in folder.glob("trials/*/manifest.json"):
        manifest = json.loads(file.read_text())
        manifest["fairness"]["nodelay"] = "websocket" not in file.parent.name
        file.write_text(json.dumps(manifest))
    found = [w["message"] for w in as_json(build([folder]))["warnings"] if w["kind"] == "asymmetry"]
    assert found == ["subjects differ in nodelay: true in sse-aiohttp; false in websocket-aiohttp"]


@pytest.mark.usefixtures("few_figures")
def test_many_subjects_of_unknown_kinds(tmp_path: Path, make: ModuleType) -> None:
    names = tuple(f"sse-aiohttp@{n}" for n in range(8))
    folder = small(make, tmp_path / "a", subjects=names, blocks=1, subscribers=2)
    campaign = json.loads((folder / "campaign.json").read_text())
    for row in campaign["subjects"]:
        row |= {"transport": "carrier-pigeon", "stack": "loft"}
    (folder / "campaign.json").write_text(json.dumps(campaign))
    report = build([folder])
    assert report.headlines[0] == "7 subjects against sse-aiohttp@0: too few blocks to compare latency and server CPU"
    assert all(len(line) <= 120 for line in report.headlines)


def test_a_report_that_cannot_be_written(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="cannot write into"):
        build([golden], tmp_path / "file")


@pytest.mark.usefixtures("few_figures")
def test_old_figures_go(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/gone.svg").write_text("<svg/>")
    (tmp_path / "figures/mine.txt").write_text("stays")
    build([golden], tmp_path)
    assert not (tmp_path / "figures/gone.svg").exists() and (tmp_path / "figures/mine.txt").exists()


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize("recorded", [True, False], ids=["attempts recorded", "a folder of before"])
def test_valid_trials_of_both_attempts_count_and_are_paired_within_their_attempt(
    tmp_path: Path, make: ModuleType, recorded: bool
) -> None:
    """Three blocks of two subjects; the third is the second run again, because one trial of that was invalid."""
    folder = small(make, tmp_path / "a", blocks=3, invalid={3: ("latency_app_*",)})
    document = json.loads((folder / "campaign.json").read_text())
    for row in document["trials"][4:]:
        row["block"] = 2
        manifest = folder / row["directory"] / "manifest.json"
        write_json(manifest, json.loads(manifest.read_text()) | {"block": 2})
    for number, row in enumerate(document["trials"]):
        row |= {"attempt": 2 if number >= 4 else 1} if recorded else {}
    write_json(folder / "campaign.json", document | {"order": document["order"][:2]})
    evidence: Evidence = gather(load(folder))
    whole = gather(load(small(make, tmp_path / "b", blocks=3, invalid={3: ("latency_app_*",)})))
    spoiled = document["trials"][2]["subject"]
    for subject in evidence.names:
        app, kernel = (evidence.summary(subject, f"latency_{name}_p50_ns") for name in ("app", "kernel"))
        assert app is not None and kernel is not None
        assert (app.trials, kernel.trials) == (2 if subject == spoiled else 3, 3)
    assert [s.usable for s in evidence.subjects] == [2 if s.name == spoiled else 3 for s in evidence.subjects]
    # An attempt is what a block is: the same numbers as of three blocks.
    assert [c.row() for c in evidence.comparisons] == [c.row() for c in whole.comparisons]
    assert [s.row() for s in evidence.summaries] == [s.row() for s in whole.summaries]
    report = build([folder])
    rows = {row["trial"]: row for row in as_json(report)["trials"]}
    assert [rows[n]["attempt"] for n in range(1, 7)] == [1, 1, 1, 1, 2, 2]
    assert [rows[n]["block"] for n in range(1, 7)] == [1, 1, 2, 2, 2, 2]
    assert [rows[n]["counts"] for n in range(1, 7)] == ["all", "all", "some", "all", "all", "all"]
    assert set(rows[3]["left_out"].values()) == {"the load generator read late"}
    assert {name for name in rows[3]["metrics"] if name.startswith("latency_app")} >= rows[3]["left_out"].keys() > set()
    assert tables.left_out(evidence) == [("3", spoiled, "2", "1", "latency_app_*", "the load generator read late")]
    assert "What does not count, and why" in report.path.read_text()
    words = naming.headings(evidence.subjects)[spoiled]
    assert f"| 3 | {words} | 2 | 1 |" in (folder / "report/report.md").read_text()
    assert not any("planned trials were run" in line for line in report.caveats)
    found = rtbench.analysis.load(folder)
    trials = found.trials.set_index("trial")
    assert trials.loc[3, ["attempt", "counts", "left_out"]].tolist() == [1, "some", "latency_app_*"]
    metrics = found.metrics
    counted = metrics[metrics["counts"] & (metrics["metric"] == "latency_app_p50_ns")]
    for subject, values in counted.groupby("subject")["value"]:
        row = evidence.summary(subject, "latency_app_p50_ns")
        assert row is not None and row.median == pytest.approx(values.median())
    assert set(metrics[~metrics["counts"]]["why"]) == {"the load generator read late"}
    assert (metrics["counts"] == metrics["believed"]).all() and set(metrics[metrics["counts"]]["why"]) == {""}


def test_the_markdown_fits_a_pull_request_comment(out: Path, few_figures: None) -> None:
    from rtbench.analysis.report.page import COMMENT, _fitting

    assert len((out / "report.md").read_text()) < 10_000
    line = "| x | " + "y" * 90 + " |\n"
    long = line * (COMMENT // len(line) + 500)
    fitting = _fitting(long)
    assert COMMENT - 400 < len(fitting) < COMMENT
    *kept, _, last = fitting.splitlines()
    assert set(kept) == {line.strip()}
    assert f"{long.count(chr(10)) - len(kept) + 1:,} more lines" in last


def test_a_hover_says_the_value_and_a_subject_can_be_hidden(out: Path) -> None:
    page = (out / "report.html").read_text()
    file = (out / "figures/decision.svg").read_text()
    for text in (page, file):
        assert re.search(r'<g data-subject="sse-aiohttp"><title>SSE on aiohttp, Latency, median: \d', text)
    assert "mark|" not in page and "mark|" not in file
    # every subject's name is a row heading with its colour and marker, and a preset shows or hides what carries it
    assert re.findall(r'data-show="(\w+)"', page) == ["all", "push", "stack"]
    assert '<tr data-subject="websocket-websockets"><th scope="row"><svg class="key"' in page


def test_every_pair_in_every_headline_metric(out: Path) -> None:
    page = html.unescape((out / "report.html").read_text())
    table = page[page.index('class="matrix pairs') : page.index("The same as a matrix")]
    pairs = re.findall(r'<tr data-subject="([^"]+)" data-with="([^"]+)"( class="across")?>', table)
    assert len(pairs) == 6 and len({frozenset(pair[:2]) for pair in pairs}) == 6
    assert [bool(pair[2]) for pair in pairs] == [False] * 3 + [True] * 3  # within the controlled arm first
    assert all("websocket-websockets" in pair[:2] for pair in pairs if pair[2])
    found = json.loads((out / "report.json").read_text())["comparisons"]
    (cpu,) = [
        c
        for c in found
        if c["metric"] == "server_cpu_ns_per_message" and {c["a"], c["b"]} == {"sse-aiohttp", "websocket-aiohttp"}
    ]
    ratio = cpu["ratio"] if cpu["a"] == "websocket-aiohttp" else 1 / cpu["ratio"]
    row = re.search(r'<tr data-subject="websocket-aiohttp" data-with="sse-aiohttp">.*?</tr>', table)
    assert row is not None and f"{ratio:.2f}×" in row[0]


def test_tables_of_report_md_are_tables(out: Path) -> None:
    """A blank line ends a table (GitHub Flavored Markdown, Tables): a row or a head without its delimiter is text."""
    blocks = re.split(r"\n\n+", (out / "report.md").read_text())
    tables = [block for block in blocks if block.startswith("|")]
    assert len(tables) > 3
    for table in tables:
        assert re.fullmatch(r"\|.*\|\n\|(---\|)+(\n\|.*\|)+", table.strip()), table


def test_it_says_how_to_cite_and_how_to_repeat(out: Path) -> None:
    page = html.unescape((out / "report.html").read_text())
    assert "scenario 0f1e2d3c4b5a, seed 1, rtbench 0.1.0." in page
    assert "@misc{rtbench-20261124-031500-golden," in page and "year = {2026}" in page
    assert '"The command">rtbench run golden --seed 1</pre>' in page
    assert "```bibtex\n@misc{rtbench-20261124-031500-golden," in (out / "report.md").read_text()
    assert "16 subscribers · broadcast of 10 messages/s × 150 B · 3 blocks · 4 s windows · polls every 0.5 s" in page


@pytest.mark.usefixtures("few_figures")
def test_what_every_subject_used_with_its_asymmetries_marked(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a")
    for file in folder.glob("trials/*websocket*/manifest.json"):
        manifest = json.loads(file.read_text())
        manifest["fairness"] |= {"backlog": 100, "gc": [700, 10], "observed": {"threads": 2}}
        file.write_text(json.dumps(manifest))
    page = build([folder]).path.read_text()
    table = page[page.index('class="manifest"') :]
    rows = re.findall(r'<tr( class="differs")?><th scope="row">(.*?)</th>(.*?)</tr>', table)
    cells = {
        re.sub(r"<.*?>", "", key).removeprefix("≠ "): (bool(odd), re.findall(r">([^<]*)</td>", row))
        for odd, key, row in rows
    }
    assert cells["backlog"] == (True, ["4096", "100"])
    assert cells["gc"] == (True, ["–", "700, 10"])
    assert cells["nodelay"] == (False, ["yes", "yes"])
    assert cells["observed.threads"] == (False, ["–", "2"])  # good to know
    assert next(iter(cells)) == "backlog"  # the asymmetries first
    assert "marks what subjects differ in: backlog, gc." in page


@pytest.mark.usefixtures("few_figures")
def test_trials_that_recorded_nothing(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a")
    for file in folder.glob("trials/*/manifest.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"fairness": {}}))
    assert "No trial recorded what its server used" in build([folder]).path.read_text()


def test_multiples_of_the_floor(
    tmp_path: Path, make: ModuleType, monkeypatch: pytest.MonkeyPatch, figures_named: Callable[..., None]
) -> None:
    figures_named("floor")
    look = {"transport": "tcp", "stack": "asyncio", "arm": "floor", "delay": 1.5, "cpu": 3_500, "head": 1}
    monkeypatch.setitem(make.SUBJECTS, "tcp-floor", look)
    folder = small(make, tmp_path / "a", subjects=("sse-aiohttp", "tcp-floor"), blocks=3)
    report = build([folder])
    page = seen(report)
    figure = page[page.index('<figure id="floor">') : page.index("Multiples of the floor.")]
    found = as_json(report)["comparisons"]
    (cpu,) = [c for c in found if c["metric"] == "server_cpu_ns_per_message"]
    assert 1.8 < cpu["ratio"] < 2.2  # 7,000 ns over 3,500 by construction
    assert f"SSE on aiohttp, Server CPU: {cpu['ratio']:.2f}× [" in figure and "the floor</title>" in figure
    assert "relative to plain TCP on asyncio (a line" in page and "n = 3 blocks" in page
    assert "<b>floor</b>: plain TCP without a transport: what any could reach on this machine" in page


@pytest.mark.usefixtures("few_figures")
def test_subjects_behind_a_proxy(tmp_path: Path, make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make.SUBJECTS["sse-aiohttp"]
    for name, delay in (("tuned", 2.5), ("slow", 90.0), ("leaky", 2.5), ("broken", 2.5), ("deaf", 2.5)):
        monkeypatch.setitem(make.SUBJECTS, f"sse-aiohttp+{name}", base | {"delay": delay})
    monkeypatch.setitem(make.SUBJECTS, "websocket-aiohttp+tuned", make.SUBJECTS["websocket-aiohttp"])
    names = ("sse-aiohttp", *(f"sse-aiohttp+{n}" for n in ("tuned", "slow", "leaky", "broken", "deaf")))
    plan = {"subjects": (*names, "websocket-aiohttp+tuned"), "blocks": 2, "subscribers": 4, "window_s": 2.0}
    folder = small(make, tmp_path / "a", **plan)
    campaign = json.loads((folder / "campaign.json").read_text())
    for row in campaign["subjects"]:
        row["proxy"] = row["subject"].partition("+")[2]
    (folder / "campaign.json").write_text(json.dumps(campaign))
    from rtbench.records.tables import read_table, write_table

    for file in folder.glob("trials/*+leaky/deliveries.parquet"):
        table = read_table(file, "deliveries")
        write_table(file, "deliveries", {k: v[table["subscriber"] != 0] for k, v in table.items()})
    for file in folder.glob("trials/*+deaf/deliveries.parquet"):
        table = read_table(file, "deliveries")
        write_table(file, "deliveries", {k: v[table["subscriber"] == 0] for k, v in table.items()})
    for file in folder.glob("trials/*+*/manifest.json"):
        manifest = json.loads(file.read_text())
        manifest["processes"]["proxy"] = {"cpu_ns_at_start": 10_000, "cpu_ns_at_end": 10_000 + 80 * 2_500}
        manifest["bytes"] = {"messages_in_window": 80}
        if "broken" in file.parent.name:
            manifest |= {"status": "failed", "reasons": [{"kind": "x", "message": "status 400", "metrics": []}]}
        file.write_text(json.dumps(manifest))
    page = seen(build([folder]))
    table = page[page.index('<section id="proxies">') :]
    table = table[: table.index("</section>")]
    told = {
        name: re.findall(r"<td[^>]*>(.*?)</td>", row)
        for name, row in re.findall(r'<tr data-subject="([^"]+)">.*?</th>(.*?)</tr>', table)
    }
    words = {name.partition("aiohttp+")[2]: re.sub(r"<.*?>", "", cells[1]) for name, cells in told.items()}
    assert words.pop("tuned") == "not measured: websocket-aiohttp is not in this campaign"
    assert words == {
        "slow": "holds back: messages wait in its buffer",
        "leaky": "loses: 40 of 160 messages never came",
        "broken": "breaks: status 400",
        "deaf": "breaks: 120 of 160 messages never came",
    }
    tuned = told["sse-aiohttp+tuned"]
    assert tuned[0] == "tuned" and tuned[1] == "<b>works</b>" and tuned[3] == "2.50 µs"
    lines = (folder / "report/report.md").read_text().split("**Behind a proxy**")[1].split("\n\n")[1].splitlines()
    assert len(lines) == 2 + 6  # one table, without a gap
    assert next(line for line in lines if "broken" in line).endswith("| breaks: status 400 | – | – | – |")
    assert re.fullmatch(r"\+\d+ µs \(1\.\d+× \[.*\]\)", tuned[2])


def test_recovery_has_a_section_of_its_own(
    tmp_path: Path, make: ModuleType, figures_named: Callable[..., None]
) -> None:
    figures_named("recovery", "timeline")
    import numpy as np

    from rtbench.records.tables import read_table, write_table

    folder = small(make, tmp_path / "a", window_s=4.0)
    for file in folder.glob("trials/*/manifest.json"):
        manifest = json.loads(file.read_text())
        kill = manifest["window"]["start_ns"] + 1_000_000_000
        event = {"do": "kill", "what": "server", "planned_s": 1.0, "began_ns": kill, "ended_ns": kill + 500_000_000}
        file.write_text(json.dumps(manifest | {"events": [event]}))
        path = file.parent / "connections.parquet"
        before = read_table(path, "connections")
        again = {k: v.copy() for k, v in before.items()} | {
            "connection": before["connection"] + 3,
            "started_ns": np.full(3, kill + 600_000_000),
            "connected_ns": np.full(3, kill + 600_100_000),
            "response_ns": np.full(3, kill + 601_000_000),
            "first_message_ns": np.full(3, kill + 750_000_000),
        }
        write_table(path, "connections", {k: np.concatenate([before[k], again[k]]) for k in before})
    page = seen(build([folder]))
    section = page[page.index('<section id="coming-back">') :]
    section = section[: section.index("</section>")]
    assert section.count("<td>750 ms</td>") >= 6 and "<td>30.0 /s</td>" in section
    assert '<figure id="recovery">' in section and '<a href="#coming-back">' in page
    timeline = page[page.index('<figure id="timeline">') :]
    assert "hatched: a fault that the scenario asked for" in timeline and "kill server" in timeline


@pytest.mark.usefixtures("few_figures")
def test_markdown_of_many_subjects_fits_a_comment(tmp_path: Path, make: ModuleType) -> None:
    names = tuple(f"sse-aiohttp@{n}" for n in range(20))
    folder = small(
        make, tmp_path / "a", subjects=names, blocks=3, subscribers=2, invalid=dict.fromkeys(range(1, 31), ("lost",))
    )
    build([folder])
    text = (folder / "report/report.md").read_text()
    assert len(text.encode()) < 65_536  # what GitHub takes
    assert "30 trials are invalid" in text


def test_citations_of_campaigns_that_say_little() -> None:
    from rtbench.analysis.report.citation import cite, facts

    assert facts({}) == ["0 subscribers", "?", "0 blocks", "0 s windows"]
    assert facts({"scenario": {"stream": ["stocks", "news"]}})[1] == "stocks, news"
    way = {
        "tls": True,
        "http2": {"streams_per_connection": 10},
        "compression": "gzip",
        "network": {"profile": "mobile"},
    }
    shown = ["TLS 1.3", "10 subscribers a connection of HTTP/2", "compression gzip", "network mobile"]
    assert facts({"scenario": way})[4:] == shown
    plain = {"tls": False, "compression": "none", "network": {"profile": "none", "loss": 0.0}}
    assert facts({"scenario": plain})[4:] == []
    cells = [{"tls": False, "network.loss": 0.0}, {"tls": "1.2", "network.loss": 0.02}]
    assert facts({"scenario": plain, "cells": cells})[4:] == ["with and without TLS 1.2", "loss of 0 to 0.02"]
    assert facts({"scenario": {"stream": "fanout", "workload": {"rate_hz": 2}}})[1] == "broadcast of 2 messages/s"
    found = cite({"campaign": "a {b}\\c", "rtbench": "1", "environment": {"commit": "abc"}})
    assert "measured on" not in found.text and "rtbench 1, commit abc." in found.text
    assert found.bibtex.startswith("@misc{rtbench-a-b-c,") and "year" not in found.bibtex
    assert "title = {rtbench campaign a bc: campaign}," in found.bibtex
    assert "campaign a b ```" not in cite({"campaign": "a\n\n```\nb"}).bibtex
    assert len(cite({"campaign": "a\n\n```\nb"}).bibtex.splitlines()) == 5


@pytest.mark.usefixtures("few_figures")
def test_a_line_that_does_not_fit_is_reported(tmp_path: Path, make: ModuleType) -> None:
    folder = small(make, tmp_path / "a")
    assert "bent" not in {row["kind"] for row in as_json(build([folder]))["warnings"]}
    for file, p in zip(sorted(folder.glob("trials/*-sse-aiohttp/manifest.json")), (0.02, 0.01), strict=True):
        manifest = json.loads(file.read_text())
        manifest["memory"] = {"server_bytes_per_connection": 9_000.0, "server_bytes_per_connection_curved_p": p}
        manifest["idle"] = {"cpu_ns_per_connection_second_curved_p": 0.3}
        file.write_text(json.dumps(manifest))
    (line,) = [row["message"] for row in as_json(build([folder]))["warnings"] if row["kind"] == "bent"]
    # Fisher: −2·ln(0.02 · 0.01) = 17.03, of chi² with four degrees of freedom
    assert line == (
        "sse-aiohttp: server_memory_bytes_per_connection: a straight line over the rungs does not fit (p = 0.0019); "
        "the slope is an average over them"
    )
