"""`python benchmarks/quoted.py [--write] [PAGE…]`: every result that a page quotes, beside the committed result.

Invariant: a page that has one mark has a mark at every result. A mark is an HTML comment before a paragraph or table:

    <!-- from results/reference/ci: latency sse-aiohttp; 95 %; cpu long-poll-aiohttp/sse-aiohttp -->

It lists the numbers of the text below in their order: one expression each (`Source.number`), `report` for a number that
stands like this in the folder's report.md, or the number itself where it is not a result. `--write` puts the computed
numbers in place; where the text has no brackets, without the interval. `table`, `stacks`, `verdicts`, `made`, `repeats`
and `claims` (`GENERATED`) write the whole block below. `<!-- printed by COMMAND -->` names a source that is not
committed; a paragraph with the command in it needs no mark. Numbers in code, links, dates and versions do not count.

Prints what differs and exits 1 (`--write`: only what it could not put right). Called by `make reference` and
`tests/test_quoted.py`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rtbench.analysis import claims, format
from rtbench.analysis.campaigns.load import Campaign, checked_keys
from rtbench.analysis.campaigns.trials import Trial, Warning_
from rtbench.analysis.evidence import Evidence, Result, conclude, naming
from rtbench.analysis.report import citation
from rtbench.analysis.report import stacks as stacks_table
from rtbench.analysis.statistics.judgement import Comparison
from rtbench.records.campaign import load, numbered
from rtbench.records.record import plain

ROOT = Path(__file__).parent.parent
WIDTH = 118
SHORT = {"cpu": "server_cpu_ns_per_message", "bytes": "tcp_down_bytes_per_message"}
"""Metrics by a short name; `latency` is the headlined one."""
TITLES = {"latency": "median latency", "cpu": "server CPU per message", "bytes": "TCP bytes per message"}
SIGNS = {"equivalent": " ≈", "not resolved": " ?", "too few blocks": " ?"}
"""A table's sign after a ratio that is not called a difference."""


class Unknown(Exception):
    """An expression that names nothing; the text says what."""


# What git keeps of a campaign


@cache
def evidence(*folders: str) -> Evidence:
    """The evidence of reference folders (paths from the root), as the report has it: several are combined."""
    documents: list[dict[str, Any]] = []
    trials: list[Trial] = []
    results: list[Result] = []
    for folder in folders:
        path = ROOT / folder
        documents.append(json.loads((path / "campaign.json").read_text(encoding="utf-8")))
        with (path / "metrics.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        first, blocks = max((t.number for t in trials), default=0), max((t.block for t in trials), default=0)
        of = {row["subject"]: row for row in documents[-1]["subjects"]}
        asked = documents[-1]["scenario"]
        for listed in numbered(load(path).trials or ()):
            mine = [row for row in rows if int(row["trial"]) == listed.trial]
            subject = of[listed.subject]
            cell = plain(listed.cell) if listed.cell else {}
            stream = cell.get("stream", asked["stream"])
            trial = Trial(
                number=listed.trial + first,
                subject=listed.subject,
                **{name: subject[name] for name in ("transport", "stack", "arm", "technique")},
                block=(listed.block or 0) + blocks,
                position=listed.position or 0,
                status=listed.status or "failed",
                reasons=tuple(_left_out(mine)),
                window=None,
                subscribers=int(cell.get("subscribers", asked["subscribers"])),
                streams=1 if isinstance(stream, str) else len(stream),
                unicast=False,
                manifest={},
                directory=path / listed.directory,
                cell=cell,
                attempt=listed.attempt or 1,
            )
            trials.append(trial)
            results.append(Result(trial, {row["metric"]: float(row["value"]) for row in mine}, None))
    campaign = Campaign(tuple(ROOT / folder for folder in folders), tuple(documents), tuple(trials), ())
    return conclude(campaign, results, [], documents[0].get("calibration"))


def _left_out(rows: Sequence[dict[str, str]]) -> Iterator[Warning_]:
    """The reasons of a trial, from the rows of metrics.csv that do not count (older files: by the trial's status)."""
    for row in rows:
        if row.get("counts") == "false":
            yield {"kind": "left-out", "message": row.get("why", ""), "remedy": "", "metrics": [row["metric"]]}


@dataclass(frozen=True, slots=True)
class Source:
    """One or more reference folders, and the expressions about them."""

    folders: tuple[str, ...]

    @property
    def evidence(self) -> Evidence:
        """Raises Unknown where the folders may not be combined (R15)."""
        if not self.alike:
            raise Unknown(f"{', '.join(self.folders)} differ in machine or version: quote one of them")
        return evidence(*self.folders)

    @property
    def alike(self) -> bool:
        """Whether the folders agree in every checked key."""
        first, *others = (checked_keys(evidence(folder).campaign.document) for folder in self.folders)
        return all(one == first for one in others)

    def exact(self) -> None:
        """Raises Unknown where metrics.csv lacks what counts (before 2026-11-28) and some trials are invalid."""
        for folder in self.folders:
            first = (ROOT / folder / "metrics.csv").read_text(encoding="utf-8").partition("\n")[0]
            if "counts" not in first and any(r.trial.status == "invalid" for r in self.evidence.results):
                raise Unknown(f"{folder} has invalid trials, and not what counts of them: quote its report (`report`)")

    def metric(self, name: str) -> str:
        return self.evidence.latency if name == "latency" else SHORT.get(name, name)

    def comparison(self, metric: str, pair: str) -> Comparison:
        """`A/B`, or `A/B [CELL]` of a sweep. Raises Unknown."""
        a, _, b = pair.partition("/")
        name, cell, _ = b.partition(" [")
        self.exact()
        found = self.evidence.comparison(self.metric(metric), f"{a}{cell}{b[len(name) + len(cell) :]}", b)
        if found is None:
            raise Unknown(f"nothing compares {a} and {b} in {self.metric(metric)}")
        return found

    def number(self, expression: str) -> str:
        """What an expression stands for, with its interval where there is one:

        METRIC SUBJECT: the median over trials. METRIC A/B: a ratio. `up-to METRIC A/B`: how far it can be from 1.
        `total METRIC`, `total METRIC SUBJECT`: the sum over measured trials. `valid`, `trials`: counts of trials.
        `scenario KEY`: a dotted key. `floor METRIC`: the A/A noise floor. `met`: known truths of the calibration.
        `deviation NAME`: the largest of the checks whose names begin so. Raises Unknown.
        """
        word, _, rest = expression.partition(" ")
        found = self.evidence
        if word == "total":
            metric, _, subject = rest.partition(" ")
            values = [
                r.metrics.get(metric) for r in found.results if r.metrics and (not subject or r.trial.item == subject)
            ]
            return f"{sum(value or 0 for value in values):,.0f}"
        if word == "valid":
            return f"{sum(r.trial.status == 'ok' for r in found.results)} of {len(found.results)}"
        if word == "trials":
            return f"{len(found.results):,}"
        if word == "scenario":
            value = found.campaign.document["scenario"]
            for key in rest.split("."):
                value = value[key]
            return f"{value:,g}"
        if word == "floor":
            if found.noise_floor is None or self.metric(rest) not in found.noise_floor["metrics"]:
                raise Unknown(f"no noise floor is known for {rest}")
            return format.share(found.noise_floor["metrics"][self.metric(rest)] - 1)
        if word in ("met", "deviation"):
            if found.calibration is None:
                raise Unknown(f"{self.folders[0]} has no calibration: `rtbench calibrate` before it is measured")
            rows = found.calibration.get("checks", [])
            if word == "met":
                return f"{sum(row['met'] for row in rows)} of {len(rows)}"
            rows = [row for row in rows if row["name"].startswith(rest)]
            if not rows:
                raise Unknown(f"no check begins with {rest!r}")
            most = max(rows, key=lambda row: abs(row["deviation"]))
            return f"{format.number(abs(most['deviation']))} {most['unit']}"
        if word == "up-to":
            up_to = self.comparison(*rest.split(" ", 1)).could_be_up_to
            return "0 %" if up_to is None else format.share(up_to)
        if "/" in rest.partition(" [")[0]:
            return format.ratio(self.comparison(word, rest))
        self.exact()
        summary = found.summary(rest, self.metric(word))
        if summary is None or summary.median is None:
            raise Unknown(f"{', '.join(self.folders)} has no {self.metric(word)} of {rest!r}")
        return format.summary(summary)


# Whole blocks


def table(source: Source, words: list[str]) -> str:
    """`table beside SUBJECT: METRIC (METRIC)…`: a row a subject, its medians and its ratios to that subject; no ratios
    of a metric in brackets. Subjects of another arm, on other stacks, are in italics (R10)."""
    base = words[1].rstrip(":")
    found = source.evidence
    rows = [[""], ["---"], *([_name(found, one.name)] for _, subjects in found.arms for one in subjects)]
    for word in words[2:]:
        metric = source.metric(name := word.strip("()"))
        rows[0] += [TITLES.get(name, name)] + ([f"beside {_name(found, base)}"] if name == word else [])
        rows[1] += ["---"] * (1 + (name == word))
        for row, subject in zip(rows[2:], (one for _, subjects in found.arms for one in subjects), strict=True):
            text = format.summary(found.summary(subject.name, metric))
            row.append(re.sub(r"^([\d.,]+)( \S+) \[\1, \1\]$", r"\1\2", text))
            if name == word:
                compared = None if subject.name == base else found.comparison(metric, subject.name, base)
                row.append("" if compared is None else _signed(compared))
    return _table(rows)


def verdicts(source: Source, words: list[str]) -> str:
    """`verdicts beside SUBJECT: METRIC…`: what the signs of that table mean, and how far what is open could be off."""
    base = words[1].rstrip(":")
    found = source.evidence
    parts = ["Brackets: 95 % intervals over trials."]
    texts = []
    signs = set()
    for subject in (one for _, subjects in found.arms for one in subjects if one.name != base):
        far = []
        for metric in words[2:]:
            compared = found.comparison(source.metric(metric), subject.name, base)
            signs.add(SIGNS.get(compared.verdict, "") if compared else "")
            if compared is not None and compared.verdict in ("not resolved", "too few blocks"):
                up_to = compared.could_be_up_to
                title = TITLES.get(metric, metric).removesuffix(" per message")
                far.append(f"by {'any factor' if up_to is None else format.at_most(up_to)} in {title}")
        texts += [f"{_name(found, subject.name)} {' and '.join(far)}"] if far else []
    if "" in signs:
        parts.append("A ratio without a sign is a difference.")
    if " ≈" in signs:
        parts.append(f"“≈”: equivalent within ±{format.share(found.margin)}.")
    if texts:
        parts.append(f"“?”: not resolved; could differ from {_name(found, base)}: {'; '.join(texts)}.")
    for subject in (one for _, subjects in found.arms[1:] for one in subjects):
        parts.append(f"{_name(found, subject.name)} is {_capital(subject.transport)} on another stack.")
    return " ".join(parts)


def over_stacks(source: Source, words: list[str]) -> str:
    """`stacks METRIC…`: each transport relative to the first on every stack, and what holds over them (R17)."""
    found = source.evidence
    if not found.matrix:
        raise Unknown(f"{', '.join(source.folders)} has no transport on several stacks")
    stacks = list(dict.fromkeys(stack for row in found.matrix for stack, _ in row.stacks))
    beside = naming.transport(found.matrix[0].relative_to)
    rows = [["", f"beside {beside} on", *map(naming.stack, stacks), "over stacks"], ["---"] * (len(stacks) + 3)]
    for word in words:
        title = TITLES[word]
        for row in (one for one in found.matrix if one.metric == source.metric(word)):
            of = dict(row.stacks)
            cells = [_signed(of[stack]) if stack in of else format.MISSING for stack in stacks]
            rows.append([title, _capital(row.transport), *cells, stacks_table.verdict(row, len(stacks))])
            title = ""  # once for all rows of a metric
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)


def _signed(one: Comparison) -> str:
    return format.ratio(one) + SIGNS.get(one.verdict, "")


def made(source: Source, _: list[str]) -> str:
    """`made`: the command, the seeds, what was asked, where, when, and how many trials are valid."""
    document = source.evidence.campaign.document
    command = re.sub(r" (?:--(?:out|seed) \S+|--quiet)", "", str(document["command"]))
    facts = citation.facts(document)
    stamp = re.match(r"(\d{4})(\d{2})(\d{2})-", str(document["campaign"]))
    if "started_unix" not in document and stamp:
        facts.append("-".join(stamp.groups()))
    also = ", which `make bench` runs" if command == "rtbench run ci" else ""
    seeds = [str(one["seed"]) for one in source.evidence.campaign.documents]
    times = f", {len(seeds)} times (seeds {', '.join(seeds)})" if len(seeds) > 1 else f" with seed {seeds[0]}"
    return f"Made by `{command}`{also}{times}: {', '.join(facts)}; {source.number('valid')} trials are valid."


def repeats(source: Source, words: list[str]) -> str:
    """`repeats METRIC A/B`: what each of the folders says of a ratio, and all of them together."""
    metric, pair = words[0], " ".join(words[1:])
    a, _, b = pair.partition("/")
    found = evidence(source.folders[0])
    what = f"{TITLES.get(metric, metric)} of {_name(found, a)} beside {_name(found, b)}"
    if len(source.folders) == 1:
        return "This is one campaign on one machine. Another day or machine may give other ratios."
    each = ", ".join(format.ratio(Source((one,)).comparison(metric, pair)) for one in source.folders)
    scenario = found.campaign.document["scenario"]["name"]
    text = f"The {what} in {len(source.folders)} campaigns of `{scenario}`: {each}."
    if not source.alike:
        return f"{text} They differ in machine or version, so they are not combined."
    return f"{text} Together: {format.statement(source.comparison(metric, pair))}."


def the_claims(source: Source, _: list[str]) -> str:
    """`claims`: the article's claims and their outcomes; the first folder that tests one decides. A claim that none of
    them tests here (its raw data is gone) has the outcome of the first report.md that tests it."""
    judged = claims.judge([evidence(folder) for folder in source.folders])
    reports = "".join((ROOT / folder / "report.md").read_text(encoding="utf-8") for folder in source.folders)
    rows = ["| claim | outcome | tested by |", "|---|---|---|"]
    for one in judged:
        known = re.search(rf"^\| {one.hypothesis.number}\. [^|]*\| (?!not tested)([^|]*) \|", reports, re.MULTILINE)
        outcome = one.outcome if one.findings else known[1] if known else "not tested"
        command = one.hypothesis.scenario.replace("|", "\\|")
        rows.append(f"| {one.hypothesis.number}. {one.hypothesis.claim} | {outcome} | `{command}` |")
    return "\n".join(rows)


GENERATED: dict[str, Callable[[Source, list[str]], str]] = {
    "table": table, "stacks": over_stacks, "verdicts": verdicts, "made": made, "repeats": repeats, "claims": the_claims,
}  # fmt: skip


def _capital(transport: str) -> str:
    return naming.capital(naming.transport(transport))


def _name(found: Evidence, subject: str) -> str:
    """`SSE`; with the stack where two subjects have one transport. In another arm: in italics, and only the stack where
    that is clear."""
    row = next(one for one in found.subjects if one.name == subject)
    alike = [one for one in found.subjects if one.transport == row.transport and one.cell == row.cell]
    name = _capital(row.transport) + ("" if alike[0] is row else f" ({row.stack})")
    if row.arm == found.subjects[0].arm:
        return name
    return f"*{name if [one.stack for one in found.subjects].count(row.stack) > 1 else row.stack}*"


# Pages

MARK = re.compile(r"^<!-- (from|printed by) (.*?) ?-->$", re.DOTALL)
NUMBER = re.compile(
    r"(?<![\w.,/#§-])(?:-(?=\d))?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?"
    r"(?: of \d+(?:,\d{3})*|×| (?:ms|µs|ns|s|B|KiB|MiB|GiB|%)(?!\w))?(?: \[[^\]]*\d\](?!\())?(?![\w/])"
)
RESULT = re.compile(r"[×\]%]$| (?:ms|µs|ns|B|KiB|MiB|GiB)$")
MASKED = re.compile(
    r"``.*?``|`[^`]*`|\]\([^)]*\)|<[^>]*>|\d{4}-\d{2}-\d{2}|\bR\d+(?:–R\d+)?|RFC \d+|§ ?[\d.]+"
    r"|(?:Python|Linux|HTTP|port|claim|chapter)(?: ≥)?[ /]\d[\d.]*|^\d+\. |^#+ .*|^\| \d+\. ",
    re.MULTILINE,
)
COMMAND = re.compile(r"`[^`]*(?:benchmarks/\w+\.py|rtbench (?:calibrate|aa|run|report)|make \w+)[^`]*`")


@dataclass(slots=True)
class Block:
    """Lines that belong together; `mark` is the comment before them, "" without one."""

    line: int
    text: str
    mark: str = ""


def blocks(text: str) -> list[Block]:
    """Paragraphs, tables, comments and fences in their order, so that "\\n".join gives the page again."""
    found: list[Block] = []
    fence = comment = False
    for number, line in enumerate(text.split("\n"), start=1):
        fenced = line.lstrip().startswith("```")
        together = fence or comment or (
            found and bool(line.strip()) == bool(found[-1].text.strip()) and not fenced
            and not line.startswith(("<!--", "#", "- ")) and not found[-1].text.rstrip().endswith(("-->", "```"))
        )  # fmt: skip
        if together:
            found[-1].text += "\n" + line
        else:
            found.append(Block(number, line))
        comment = (comment or line.startswith("<!--")) and not line.rstrip().endswith("-->")
        fence = fence != fenced
    mark = ""
    for block in found:
        if MARK.match(block.text.strip()):
            mark += block.text.strip() + "\n"
        elif block.text.strip():
            block.mark, mark = mark, ""
    return found


def checked(text: str, name: str = "page") -> tuple[str, list[str]]:
    """A page with its numbers put right, and what differed or has no source (`NAME:LINE: …`)."""
    found, problems = blocks(text), []
    if not any(block.mark for block in found):
        return text, []
    for block in found:
        where = f"{name}:{block.line}"
        if "from " in block.mark:
            new, wrong = _right(block)
            problems += [f"{where}: {one}" for one in wrong]
            block.text = new
        elif not block.mark and not block.text.startswith(("```", "<!--")) and not COMMAND.search(block.text):
            bare = [one for one in _numbers(block.text) if RESULT.search(one[0])]
            problems += [f"{where}: {one[0]!r} has no source: write <!-- from FOLDER: … --> before it" for one in bare]
    return "\n".join(block.text for block in found), problems


def _numbers(text: str) -> list[re.Match[str]]:
    masked = MASKED.sub(lambda one: re.sub(r"\S", "_", one[0]), text)
    return list(NUMBER.finditer(masked))


def _right(block: Block) -> tuple[str, list[str]]:
    """A marked block with its numbers put right, and what differed."""
    try:
        listed = list(_listed(block.mark))
        if len(listed) == 1 and (word := listed[0][1].split()[0]) in GENERATED:
            new = GENERATED[word](listed[0][0], listed[0][1].split()[1:])
            new = new if new.startswith("|") else _filled(new)
            return new, [] if new == block.text else [
                f"is not what `{listed[0][1]}` gives now: {_first(new, block.text)}"
            ]
        return _in_order(block.text, listed)
    except (Unknown, KeyError, OSError, IndexError) as error:
        return block.text, [f"{error}"]


def _listed(mark: str) -> Iterator[tuple[Source, str]]:
    """The expressions of the comments before a block, each with its source. Raises Unknown."""
    for kind, body in re.findall(r"<!-- (from|printed by) (.*?) ?-->", mark, re.DOTALL):
        if kind == "from":
            folders, _, expressions = body.partition(":")
            source = Source(tuple(_folders(folders.split())))
            yield from ((source, " ".join(one.split())) for one in expressions.split(";") if one.strip())


def _first(new: str, old: str) -> str:
    pairs = zip(new.split("\n"), [*old.split("\n"), ""], strict=False)
    return next((repr(line) for line, before in pairs if line != before), "fewer lines")


def _folders(names: Sequence[str]) -> Iterator[str]:
    """The folders that the names (a `*` stands for any text) have in git, in their order. Raises Unknown."""
    for name in names:
        found = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(name) if (path / "campaign.json").is_file())
        if not found:
            raise Unknown(f"{name} has no campaign.json")
        yield from found


def _in_order(text: str, listed: Sequence[tuple[Source, str]]) -> tuple[str, list[str]]:
    flat = text if text.startswith("|") else re.sub(r"\n\s*", " ", text)
    numbers = _numbers(flat)
    if len(numbers) != len(listed):
        has = ", ".join(one[0] for one in numbers)
        return text, [f"the text has {len(numbers)} numbers ({has}), its comment lists {len(listed)}"]
    wrong, parts, at = [], [], 0
    for one, (source, expression) in zip(numbers, listed, strict=True):
        new = expression if expression[-1] in "0123456789%×]" and expression[0] in "-0123456789" else None
        new = source.number(expression) if new is None and expression != "report" else new
        if new is None:  # the report has it, in its words
            report = "\n".join((ROOT / folder / "report.md").read_text(encoding="utf-8") for folder in source.folders)
            report = re.sub(r"</?sub>", "", report)
            new = one[0]
            if new not in report:
                wrong.append(f"{new!r} is not in the report of {', '.join(source.folders)}")
        elif "[" not in one[0]:
            new = new.partition(" [")[0]
        if new != one[0]:
            wrong.append(f"{one[0]!r} is {new!r} now ({expression})")
        parts += [flat[at : one.start()], new]
        at = one.end()
    new_text = "".join([*parts, flat[at:]])
    return (text if new_text == flat else new_text if text.startswith("|") else _filled(new_text)), wrong


def _filled(text: str) -> str:
    """A paragraph in lines of WIDTH at most, a number beside its unit; what follows a bullet is indented."""
    glued = re.sub(r"(?<=[\d×]) (?=(?:%|ms|µs|s|B)(?!\w)|\[)", "\0", text)
    lines = [
        textwrap.fill(
            line,
            WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in glued.split("\n")
    ]
    return "\n".join(lines).replace("\0", " ")


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def main(words: Sequence[str]) -> int:
    """Exit code: 1 when something differs (with `--write`: when it could not be put right), else 0."""
    write = "--write" in words
    problems = []
    for page in [Path(word) for word in words if word != "--write"] or pages():
        text = page.read_text(encoding="utf-8")
        new, found = checked(text, str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page))
        if write and new != text:
            page.write_text(new, encoding="utf-8")
            found = checked(new, page.name)[1]
        problems += found
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
