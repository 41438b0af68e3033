"""`make fuzz SECONDS=600 TARGET=frames`: the parsers under coverage-guided fuzzing (atheris), a process each.

Prints inputs, minutes and findings of each target; exit 1 with a finding. Its bytes stay in `.fuzz/findings`; `--keep`
makes them a vector in tests/vectors/fuzz.json. A later run continues from the corpus in `.fuzz/corpus`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".fuzz"
INSTRUMENTED = ["rtbench.transports", "rtbench.servers.kit.feed", "rtbench.loadtests.recorder", "websockets"]
MOST_BYTES = 4096
PATIENCE_S = 120
"""Beyond its seconds, for the start and the last input."""


def child(name: str, seconds: int) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        from benchmarks.fuzz.harness import examine, findings
        from benchmarks.fuzz.targets import TARGETS

    target = TARGETS[name]
    corpus, found = KEPT / "corpus" / name, KEPT / "findings" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        for mode in (0, 1, 0x40, 0x80):
            (corpus / f"seed-{number}-{mode}").write_bytes(bytes([mode]) + seed)
    for number, (_, data) in enumerate(findings(name)):
        (corpus / f"kept-{number}").write_bytes(data)
    words = KEPT / f"{name}.dict"
    words.write_text("".join('"{}"\n'.format("".join(f"\\x{byte:02x}" for byte in one)) for one in target.tokens))
    options = [f"-max_total_time={seconds}", f"-max_len={MOST_BYTES}", f"-dict={words}", f"-artifact_prefix={found}/"]
    options += ["-len_control=10", "-print_final_stats=1", "-timeout=25", "-rss_limit_mb=2048", "-verbosity=1"]
    atheris.Setup([sys.argv[0], str(corpus), *options], lambda data: examine(target, data))
    atheris.Fuzz()


def fuzz(name: str, seconds: int) -> tuple[int, float, list[Path], str]:
    """Inputs, seconds and new findings of a target's process, and the end of its output where something is wrong."""
    found = KEPT / "findings" / name
    now_ns = time.time_ns()
    command = [sys.executable, "-m", "benchmarks.fuzz", "--child", name, "--seconds", str(seconds)]
    begun = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds + PATIENCE_S, check=False
        )
        code, output = done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")
    except subprocess.TimeoutExpired as late:
        code, output = -1, (late.stderr or b"").decode("utf-8", "replace") + "\nit did not end"
    units = re.findall(r"stat::number_of_executed_units: +(\d+)", output)
    new = sorted(path for path in found.glob("*") if path.stat().st_mtime_ns > now_ns)  # an old one may come again
    wrong = "" if code == 0 and units and not new else "\n".join(output.splitlines()[-40:])
    return int(units[-1]) if units else 0, time.monotonic() - begun, new, wrong


def keep(name: str, paths: list[Path]) -> None:
    """Add findings to the vectors that `make test` replays."""
    from benchmarks.fuzz.harness import FINDINGS

    vectors = json.loads(FINDINGS.read_text())
    vectors.setdefault(name, []).extend({"name": path.name, "input": path.read_bytes().hex()} for path in paths)
    FINDINGS.write_text(json.dumps(vectors, indent=1) + "\n")


def main(arguments: list[str]) -> int:
    """Fuzz the targets one after another. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Coverage-guided fuzzing of the parsers.")
    parser.add_argument("--target", action="append", default=[], help="one target (default: all)")
    parser.add_argument("--seconds", type=int, default=600, help="seconds for each target")
    parser.add_argument("--keep", action="store_true", help="make findings vectors")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("atheris is missing (no wheel for this Python or machine?): pip install 'rtbench[fuzz]'\n")
        return 2
    if options.child:
        child(options.child, options.seconds)
        return 0
    from benchmarks.fuzz.targets import TARGETS

    if unknown := [name for name in options.target if name not in TARGETS]:
        sys.stderr.write(f"--target {unknown[0]}: choose one of {', '.join(TARGETS)}\n")
        return 2
    print(f"{'target':14} {'inputs':>10} {'minutes':>8} {'findings':>8}")
    worst = 0
    for name in options.target or TARGETS:
        inputs, seconds, new, wrong = fuzz(name, options.seconds)
        print(f"{name:14} {inputs:>10,} {seconds / 60:>8.1f} {len(new):>8}", flush=True)
        if wrong:
            worst = 1
            print(wrong, *new, sep="\n", flush=True)
        if new and options.keep:
            keep(name, new)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
