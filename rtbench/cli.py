"""The command line, thin: it parses, calls, prints, and turns errors into the contract's exit codes (interface.md).

Exit codes: 0 done; 1 a finding; 2 the user's input or environment, one line on stderr; 3 too few valid trials;
130 interrupted, what was measured is kept. Invariant: results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import click

import rtbench
from rtbench import scenario as scenarios
from rtbench import streams as stream_catalogue
from rtbench import subjects as subject_catalogue
from rtbench.errors import RtbenchError, UserError
from rtbench.scenario import Scenario
from rtbench.subjects import Subject
from rtbench.workload import Channel

FINDING, USER, TOO_FEW, INTERRUPTED = 1, 2, 3, 130
_PRECEDENCE = (INTERRUPTED, USER, FINDING, TOO_FEW, 0)
"""Where several codes hold (interface.md)."""

_settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Lay a value over the scenario; dotted keys."
)
_seed = click.option("--seed", type=click.IntRange(0), help="The workload's and the order's seed.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


_interrupted: list[int] = []


def _interrupt(number: int, _frame: object) -> None:
    _interrupted.append(number)
    raise KeyboardInterrupt


def main() -> NoReturn:
    """The console script."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored; a polite end is an interruption
        signal.signal(number, _interrupt)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = INTERRUPTED
    except click.ClickException as error:
        text = error.format_message()
        # Without any word the message is the whole help; every other is one line (interface.md).
        click.echo(text if text.startswith("Usage:") else f"rtbench: {' '.join(text.split())}", err=True)
        code = USER
    except RtbenchError as error:
        click.echo(f"rtbench: {error}", err=True)
        code = USER
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ImportError:
        # An extension module that is being imported makes its own error of an interruption.
        if not _interrupted:
            raise
        code = INTERRUPTED
    except SystemExit:
        # `rtbench ticks stocks | head`: who listened has heard enough; click would make a finding (1) of it.
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rtbench.__version__, prog_name="rtbench")
def cli() -> None:
    """Benchmark and compare real-time transports: Server-Sent Events, WebSocket, short and long polling.

    Begin with `rtbench run smoke` (seconds) or `rtbench run ci` (some six minutes, what `make bench` runs).
    """


@cli.command("list", epilog="Example: rtbench list subjects --json")
@click.argument("what", type=click.Choice(["subjects", "streams", "scenarios", "metrics"]))
@_json
def list_(what: str, as_json: bool) -> None:
    """What there is: subjects, streams, scenarios or metrics."""
    rows: list[dict[str, Any]]
    shown: tuple[str, ...]
    if what == "subjects":
        rows = [
            {
                **one.describe(),
                "description": one.description,
                "available": not missing,
                "missing": missing,
                "remedy": how,
            }
            for one in subject_catalogue.catalogue().values()
            for missing, how in [one.missing()]
        ]
        for row in rows:
            row["here"] = "yes" if row["available"] else f"no: {row['remedy']}"
        shown = ("subject", "arm", "technique", "description", "here")
    elif what == "streams":
        rows = [
            {"stream": stream.name, "finite": stream.finite, "description": stream.description}
            for stream in stream_catalogue.catalogue().values()
        ]
        shown = ("stream", "description")
    elif what == "scenarios":
        loaded = [scenarios.load(name) for name in scenarios.names()]
        rows = [
            {
                "scenario": one.name,
                "subjects": list(one.subjects),
                "subscribers": one.subscribers,
                "blocks": one.blocks,
                "description": one.description,
            }
            for one in loaded
        ]
        shown = ("scenario", "description")
    else:
        metrics = importlib.import_module("rtbench.analysis.metrics")
        rows = [
            {"metric": m.name, "unit": m.unit, "better": m.direction, "description": m.caption}
            for m in metrics.catalogue()
        ]
        shown = ("metric", "unit", "description")
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    widths = {name: max(len(str(row[name])) for row in rows) for name in shown[:-1]}
    for row in rows:
        click.echo("  ".join([*(f"{row[name]:<{widths[name]}}" for name in shown[:-1]), str(row[shown[-1]])]))


@cli.command(epilog="Example: rtbench ticks stocks --seed 7 --count 10")
@click.argument("stream")
@_seed
@click.option("--count", type=click.IntRange(0), default=20, show_default=True, help="How many.")
@click.option("--channel", type=click.IntRange(0), default=0, show_default=True, help="Which channel of the stream.")
@_settings
def ticks(stream: str, seed: int | None, count: int, channel: int, settings: tuple[str, ...]) -> None:
    """The workload itself: one JSON object a line, `payload` the exact text that every transport sends."""
    found = stream_catalogue.find(stream)
    table = _build({"stream": [stream]}, seed, settings)
    if not found.foreseen(table.plan().pace):
        raise UserError(f"what {stream} sends then is known when it is due", "leave workload.real out, or serve it")
    number = channel if table.workload.channels == "unicast" else 0
    for tick in islice(table.plan().ticks_of(Channel(number, stream, channel)), count):
        row = {"channel": channel, "seq": tick.seq, "due_ns": tick.due_ns, "payload": tick.payload.decode()}
        click.echo(json.dumps(row, ensure_ascii=False))


def _build(table: dict[str, Any], seed: int | None, settings: tuple[str, ...]) -> Scenario:
    overrides = {} if seed is None else {"seed": seed}
    return scenarios.build(table, "the command line", settings, overrides)


_host = click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
_port = click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free port.")
_real = click.option("--real", is_flag=True, help="Stream metrics: this machine's figures instead of simulated ones.")


@cli.command(epilog="Example: rtbench serve sse-aiohttp --port 8000, then: curl -N http://127.0.0.1:8000/sse/stocks")
@click.argument("subject")
@_host
@_port
@_real
@_seed
@_settings
def serve(subject: str, host: str, port: int, real: bool, seed: int | None, settings: tuple[str, ...]) -> None:
    """One server with every stream played into it, until Ctrl-C or SIGTERM.

    Stream replay is among them with `--set workload.trace=FILE`. What a browser shows of it is at /.
    """
    _play(subject_catalogue.find(subject_catalogue.known(subject)), host, port, real, seed, settings)


@cli.command(epilog="Example: rtbench demo --port 8000, then open http://127.0.0.1:8000/ in a browser")
@_host
@_port
@_real
@_seed
@_settings
def demo(host: str, port: int, real: bool, seed: int | None, settings: tuple[str, ...]) -> None:
    """The race page and the article's pages, live, in a browser, until Ctrl-C or SIGTERM.

    One server with all four transports, whose lanes can be stopped and cut: by default on this machine only.
    """
    _play(replace(subject_catalogue.module_at(DEMO), module=DEMO), host, port, real, seed, settings, DEMO_PAGES)


DEMO = "rtbench.servers._demo"
DEMO_PAGES = (
    ("/pages/race.html", "the race: four transports, one workload"),
    ("/pages/list.html", "the article's live list"),
    ("/pages/dashboard.html", "the article's dashboard"),
    ("/", "all of them"),
)


def _play(
    served: Subject,
    host: str,
    port: int,
    real: bool,
    seed: int | None,
    settings: tuple[str, ...],
    pages: tuple[tuple[str, str], ...] = (),
) -> None:
    from rtbench.processes import PublisherProcess
    from rtbench.programs import publish_into, server_of

    if not any(setting.startswith("epoch_s=") for setting in settings):
        settings = (f"epoch_s={int(time.time())}", *settings)
    if real:
        settings = (*settings, "workload.real=true")
    every = stream_catalogue.catalogue().values()
    pace = _build({"stream": [s.name for s in every if not s.needs]}, seed, settings).plan().pace
    table = _build({"stream": [s.name for s in every if not s.needs or getattr(pace, s.needs)]}, seed, settings)
    # Whenever the signal comes, also while it starts: it ends what runs, and that is what was asked.
    with contextlib.suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="rtbench-") as name:
        folder = Path(name)
        with PublisherProcess(table.plan(), table, folder, (), folder / "publisher.log") as publisher:
            publisher.ready()
            where = {"host": host, "port": port}
            feed, log = publisher.socket_path, folder / "server.log"
            with server_of(served, table, feed, folder, (), log, **where) as server:
                publish_into(publisher, served, server)
                publisher.play(table.stream)
                url = server.ready()
                click.echo(f"listening on {url}")
                for path, what in pages:
                    click.echo(f"  open {url}{path}  {what}")
                sys.stdout.flush()
                while True:
                    for process in (publisher, server):
                        if process.exited() is not None:
                            raise process.died()
                    time.sleep(0.25)


@cli.command(epilog="Example: rtbench verify sse-aiohttp http://127.0.0.1:8000")
@click.argument("targets", nargs=-1, required=True, metavar="SUBJECT|FILE.py|FILE.toml|URL...")
@_json
@click.pass_context
def verify(context: click.Context, targets: tuple[str, ...], as_json: bool) -> None:
    """Check a subject against the contract: right bytes, right order, resume, heartbeat, clean end (R12)."""
    from rtbench.verify import verify as verify_one

    found = [verify_one(name) for target in targets for name in _all_known(target)]
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in found], indent=1))
    else:
        for one in found:
            click.echo(f"{one.target}: {'passes' if one.ok else 'FAILS'}")
            for case in one.cases:
                click.echo(f"  {case.status:<8}{case.name}")
                for problem in case.problems:
                    click.echo(f"          {problem}")
    context.exit(0 if all(one.ok for one in found) else FINDING)


@cli.command(epilog="Example: rtbench run ci --set subscribers=200 --subjects sse-aiohttp,websocket-aiohttp")
@click.argument("scenario")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-SCENARIO).")
@click.option("--subjects", metavar="A,B", help="Instead of the scenario's.")
@_settings
@_seed
@click.option("--resume", is_flag=True, help="Go on with the campaign in --out.")
@click.option("--plan", "only_plan", is_flag=True, help="Only print the trials, minutes and disk it would take.")
@click.option("--netns", is_flag=True, help="Server and load in network namespaces: bytes on the wire (needs root).")
@click.option("--i-own-this-host", "owned", is_flag=True, help="A subject's URL that is not this machine is yours.")
@click.option("--quiet", is_flag=True, help="Only what went wrong, and the result.")
@_json
@click.pass_context
def run(
    context: click.Context,
    scenario: str,
    out: Path | None,
    subjects: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    resume: bool,
    only_plan: bool,
    netns: bool,
    owned: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run a campaign, then write its report. SCENARIO: a name (`rtbench list scenarios`) or the path of a TOML file."""
    from rtbench import campaign as campaigns
    from rtbench.calibrate import newest
    from rtbench.environment import fingerprint
    from rtbench.progress import Display
    from rtbench.trial import Place

    overrides: dict[str, Any] = {}
    if subjects:
        overrides["subjects"] = [name.strip() for name in subjects.split(",") if name.strip()]
        overrides["optional"] = False  # who names them wants them
    if seed is not None:
        overrides["seed"] = seed
    if netns:
        overrides["netns"] = True
    if owned:
        overrides["i_own_this_host"] = True
    table = scenarios.load(scenario, settings, overrides)
    if resume and out is None:
        raise UserError("--resume needs to know which campaign", "name its folder with --out")
    if resume and not (out / "campaign.json").exists() if out else False:
        raise UserError(f"{out}: holds no campaign to go on with", "leave --resume out to begin one")
    _judgeable(table)
    table, warnings = campaigns.available(table)
    for warning in warnings:
        click.echo(f"rtbench: {warning['message']}; {warning['remedy']}", err=True)
    campaigns.prepare(table)
    take = campaigns.plan(table)
    if only_plan:
        if as_json:
            click.echo(json.dumps(take.as_dict()))
        else:
            click.echo(
                f"{table.name}: {take.trials} trials, about {take.seconds / 60:.1f} minutes, "
                f"about {take.disk_bytes / 1e6:.0f} MB"
            )
        return
    folder = out or _results(table.name)
    command = shlex.join(["rtbench", *sys.argv[1:]])
    campaign = campaigns.Campaign(table, folder, command, resume, newest(fingerprint()["machine"]), warnings)
    place = Place.here()
    campaigns.stay_on(place)
    try:
        with Display(take.seconds / take.trials, quiet) as display:
            if not quiet:
                display.note(f"{table.name}: {take.trials} trials, about {take.seconds / 60:.0f} min, into {folder}")
            campaign.run(place, display, _quick_check)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        campaign.save(INTERRUPTED)
        kept = f"{len(campaign.trials)} of {take.trials} trials are kept in {folder}"
        click.echo(f"rtbench: interrupted; {kept}; go on with: {_resume(command, folder)}", err=True)
        context.exit(INTERRUPTED)
    code = campaign.verdict()
    campaign.save(code)
    code = _report([folder], None, code)
    _step_summary(folder / "report" / "report.md")
    context.exit(code)


def _judgeable(table: Scenario) -> None:
    """Raises UserError for a threshold of a metric or a subject that there is not: before minutes of measuring."""
    if not table.thresholds:
        return
    metrics = {m.name for m in importlib.import_module("rtbench.analysis.metrics").catalogue()}
    for key in table.thresholds:
        subject, _, metric = key.rpartition(".")
        if metric not in metrics:
            raise UserError(f"[thresholds] {key!r}: there is no metric {metric!r}", "`rtbench list metrics` shows them")
        if subject.partition(" [")[0] not in table.subjects:
            known = ", ".join(table.subjects)
            raise UserError(f"[thresholds] {key!r}: {subject!r} is no subject of this campaign", f"one of {known}")


def _step_summary(report: Path) -> None:
    """Show the report where GitHub Actions shows what a step came to. It is a courtesy: it never fails a run."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as summary:
            summary.write(report.read_text(encoding="utf-8") + "\n")
    except OSError as error:
        click.echo(f"rtbench: warning: cannot write GITHUB_STEP_SUMMARY {target} ({error.strerror})", err=True)


def _resume(command: str, folder: Path) -> str:
    words = [word for word in shlex.split(command) if word != "--resume"]
    if "--out" not in words:
        words += ["--out", str(folder)]
    return shlex.join([*words, "--resume"])


def _all_known(name: str) -> list[str]:
    """`subjects.known`; for a scenario's file the subjects that it defines. Raises UserError where it defines none."""
    if not name.endswith(".toml") or "://" in name:
        return [subject_catalogue.known(name)]
    rows = scenarios.load(name).subject
    if not rows:
        raise UserError(f"{name} defines no subject", "write a table [[subject]]; see README, Add a subject")
    return [row.name for row in rows]


def _quick_check(subject: subject_catalogue.Subject) -> list[str]:
    from rtbench.verify import quick_check

    if subject.url or not subject.played:
        return []  # what it plays is not known: `rtbench verify URL` is for who keeps the contract

    problems: list[str] = quick_check(subject.name)
    return problems


@cli.command(epilog="Example: rtbench report results/20261124-031500-ci")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), help="Where to (default: report/ in the first folder).")
@click.pass_context
def report(context: click.Context, folders: tuple[Path, ...], out: Path | None) -> None:
    """Build the report again, from the raw files alone."""
    context.exit(_report(list(folders), out, 0))


@cli.command(epilog="Example: rtbench compare results/baseline results/20261124-031500-ci --format markdown")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BASELINE DIR")
@click.option(
    "--format", "kind", type=click.Choice(["text", "markdown", "json", "junit"]), default="text", show_default=True
)
@click.option("--subjects", metavar="BASE,HEAD", help="Two subjects of one folder instead, paired by its blocks.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1000),
    default=5.0,
    show_default=True,
    help="Percent that is no regression.",
)
@click.pass_context
def compare(
    context: click.Context, folders: tuple[Path, ...], kind: str, subjects: str | None, tolerance: float
) -> None:
    """Has anything become worse? Two campaigns, or two subjects of one; exit 1 on a regression.

    A difference is said only outside the noise, with false discoveries held to 5 %. On another machine, kernel or
    Python times and costs are not compared, counts and bytes are.
    """
    from rtbench.calibrate import newest
    from rtbench.environment import fingerprint

    baseline = importlib.import_module("rtbench.analysis.baseline")
    calibration, limit = newest(fingerprint()["machine"]), 1 + tolerance / 100
    if subjects is not None:
        names = [name.strip() for name in subjects.split(",")]
        if len(names) != 2 or len(folders) != 1:
            raise UserError(
                "--subjects compares two subjects of one folder", "rtbench compare DIR --subjects BASE,HEAD"
            )
        found = baseline.within(folders[0], *names, limit, calibration)
    elif len(folders) != 2:
        raise UserError("compare needs two folders", "rtbench compare BASELINE DIR, or DIR --subjects BASE,HEAD")
    else:
        found = baseline.against(*folders, limit, calibration)
    click.echo(importlib.import_module("rtbench.analysis.baseline_formats").render(found, kind), nl=False)
    context.exit(found.exit_code)


@cli.command(epilog="Example: rtbench advise results/20261124-031500-ci --subscribers 5000 --freshness-ms 200")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--subscribers", type=click.IntRange(1), help="How many (default: as measured, like all below).")
@click.option("--rate", "rate_hz", type=float, metavar="HZ", help="Messages a second that each subscriber gets.")
@click.option("--freshness-ms", type=float, metavar="M", help="How old data may be (default: any age will do).")
@click.option("--payload-bytes", type=float, metavar="B", help="The size of a message.")
@click.option("--bidirectional", is_flag=True, help="Clients send, too.")
@click.option("--through-proxy", is_flag=True, help="A proxy stands before the server.")
@click.option("--all", "every", is_flag=True, help="All subjects, not the best of each transport.")
@_json
def advise(folder: Path, every: bool, as_json: bool, **needs: Any) -> None:
    """Which transport for these needs, by a campaign's measurements: ranked, with reasons and what would change it."""
    from rtbench.calibrate import newest
    from rtbench.environment import fingerprint

    advice = importlib.import_module("rtbench.analysis.advice")
    found = advice.of_folder(folder, advice.Needs(**needs), every, newest(fingerprint()["machine"]))
    click.echo(json.dumps(found.row(), indent=1, allow_nan=False) if as_json else found.text())


@cli.command(epilog="Example: rtbench calibrate")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-calibration).")
@click.option("--quiet", is_flag=True, help="Only what went wrong, and the result.")
@_json
@click.pass_context
def calibrate(context: click.Context, out: Path | None, quiet: bool, as_json: bool) -> None:
    """Measure the harness's own error on this machine: known delays, losses, stops and starvation, an A/A control.

    Takes some four minutes; exit 1 when a truth is not met. The result is quoted on every later report of this machine.
    """
    from rtbench import calibrate as calibration

    folder = out or _results("calibration")
    context.exit(_known_truths(folder, calibration.scenarios(), quiet, as_json, aa=False))


@cli.command(epilog="Example: rtbench aa")
@click.option("--out", type=click.Path(path_type=Path), help="The results folder (default: results/TIME-aa).")
@_settings
@click.option("--quiet", is_flag=True, help="Only what went wrong, and the result.")
@_json
@click.pass_context
def aa(context: click.Context, out: Path | None, settings: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """A/A control: 20 real pairs of a subject with itself, and the noise floor that they show (some 25 minutes)."""
    context.exit(_known_truths(out or _results("aa"), [scenarios.load("aa", settings)], quiet, as_json, aa=True))


def _known_truths(folder: Path, tables: list[Scenario], quiet: bool, as_json: bool, aa: bool) -> int:
    """Measure, judge, store and print; the exit code."""
    from rtbench import calibrate as calibration
    from rtbench import campaign as campaigns
    from rtbench.progress import Display
    from rtbench.trial import Place

    takes = [campaigns.plan(table) for table in tables]
    place = Place.here()
    campaigns.stay_on(place)
    command = shlex.join(["rtbench", *sys.argv[1:]])
    each_s = sum(take.seconds for take in takes) / sum(take.trials for take in takes)
    with Display(each_s, quiet) as display:
        calibration.measure(tables, folder, command, place, display, _quick_check)
    result = calibration.judge(folder / tables[0].name if aa else folder, aa)
    stored = calibration.store(result)
    if as_json:
        click.echo(json.dumps(result, indent=1))
    else:
        click.echo("\n".join(calibration.table(result["checks"])))
        met = sum(row["met"] for row in result["checks"])
        click.echo(f"{met} of {len(result['checks'])} met; stored as {stored}, raw files in {folder}")
    return 0 if result["met"] else FINDING


def _results(name: str) -> Path:
    return Path("results") / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{name}"


@cli.command(epilog="Example: rtbench doctor --json")
@_json
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Can this machine measure? Cores, clocks, descriptors, ports, backlog, programs; each with its remedy."""
    from rtbench.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            remedy = f"; {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.status:<5} {finding.check}: {finding.seen}{remedy}")
    context.exit(USER if any(finding.status == "fail" for finding in findings) else 0)


def _report(folders: list[Path], out: Path | None, code: int) -> int:
    # By name: the kernel does not import what it serves (ARCHITECTURE.md, arrows).
    from rtbench.calibrate import newest
    from rtbench.environment import fingerprint

    build = importlib.import_module("rtbench.analysis.report").build
    made = build(folders, out, newest(fingerprint()["machine"]))
    for line in made.headlines:
        click.echo(line)
    for line in made.caveats:
        click.echo(f"caveat: {line.partition(' (spoils ')[0]}")  # which metrics: in the report
    click.echo(f"report: {made.path}")
    return min((code, int(made.exit_code)), key=_PRECEDENCE.index)


if __name__ == "__main__":
    main()
