"""Machine settings that make results vary: frequency, SMT, power, interrupts, address randomisation.

Invariant: it only reads, below a root folder that tests replace. A setting that the machine does not report (a virtual
one has no governor) is None or empty and causes no advice. Called by the doctor, which gives a remedy for each, and by
the fingerprint. The list is pyperf's (`python -m pyperf system show`), with batteries and power profiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rtbench.machine.topology import ROOT, Cores, Topology, cpu_list, listed, text

_CPUS = "/sys/devices/system/cpu"
_FULLY_RANDOM = "2"


@dataclass(frozen=True, slots=True)
class Tuning:
    """The settings found. Values that differ between cpus are joined by commas."""

    smt: bool
    """Whether physical cores run two threads or more."""
    governor: str
    driver: str
    turbo: bool | None
    on_battery: bool | None
    profile: str
    isolated: Cores
    irqbalance: bool
    aslr: str


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting: its value, and a remedy if it makes results vary; empty: fine, or not known."""

    check: str
    seen: str
    remedy: str = ""


def look(topology: Topology, root: Path = ROOT) -> Tuning:
    """This machine's settings; `root` stands for /."""
    cpus = root / _CPUS.lstrip("/")
    active = text(cpus / "smt/active")
    no_turbo, boost = text(cpus / "intel_pstate/no_turbo"), text(cpus / "cpufreq/boost")
    return Tuning(
        smt=active == "1" if active else any(len(core) > 1 for core in topology.physical(allowed=False)),
        governor=_all(cpus, "scaling_governor"),
        driver=_all(cpus, "scaling_driver"),
        turbo=no_turbo == "0" if no_turbo else boost == "1" if boost else None,
        on_battery=_on_battery(root / "sys/class/power_supply"),
        profile=text(root / "sys/firmware/acpi/platform_profile"),
        isolated=cpu_list(text(cpus / "isolated")),
        irqbalance=any(text(path) == "irqbalance" for path in (root / "proc").glob("[0-9]*/comm")),
        aslr=text(root / "proc/sys/kernel/randomize_va_space"),
    )


def _all(cpus: Path, name: str) -> str:
    return ", ".join(sorted({text(path) for path in cpus.glob(f"cpu[0-9]*/cpufreq/{name}")} - {""}))


def _on_battery(supplies: Path) -> bool | None:
    """Whether the machine runs on its battery; None without one. (A mouse's battery has scope Device.)"""
    batteries = [
        folder
        for folder in supplies.glob("*")
        if text(folder / "type") == "Battery" and text(folder / "scope") != "Device"
    ]
    return any(text(folder / "status") == "Discharging" for folder in batteries) if batteries else None


def advise(tuning: Tuning, topology: Topology) -> Iterator[Advice]:
    """One for each setting, always in the same order."""
    return (advice(tuning, topology) for advice in ADVICE)


def _smt(tuning: Tuning, topology: Topology) -> Advice:
    if not tuning.smt:
        return Advice("SMT", "off: a core has one thread")
    several = len(topology.physical()) > 1  # with one core the load needs its second thread
    remedy = f"echo off > {_CPUS}/smt/control" if several else "measure on a machine with more physical cores"
    return Advice("SMT", "on: the two threads of a core slow each other", remedy)


def _governor(tuning: Tuning, _: Topology) -> Advice:
    if not tuning.governor:
        return Advice("frequency governor", "not known")
    seen = f"{tuning.governor} ({tuning.driver})" if tuning.driver else tuning.governor
    fine = tuning.governor == "performance"
    return Advice("frequency governor", seen, "" if fine else "cpupower frequency-set -g performance")


def _turbo(tuning: Tuning, _: Topology) -> Advice:
    if tuning.turbo is None:
        return Advice("turbo", "not known")
    if not tuning.turbo:
        return Advice("turbo", "off")
    switch = "1 > {}/intel_pstate/no_turbo" if tuning.driver.startswith("intel") else "0 > {}/cpufreq/boost"
    return Advice("turbo", "on: the frequency depends on heat", f"echo {switch.format(_CPUS)}")


def _power(tuning: Tuning, _: Topology) -> Advice:
    if tuning.on_battery is None:
        return Advice("power", "no battery")
    return Advice("power", "on battery", "plug it in") if tuning.on_battery else Advice("power", "on mains")


def _profile(tuning: Tuning, _: Topology) -> Advice:
    fine = tuning.profile in ("", "performance")
    remedy = "" if fine else "powerprofilesctl set performance"
    return Advice("power profile", tuning.profile or "not known", remedy)


def _isolated(tuning: Tuning, topology: Topology) -> Advice:
    if not tuning.isolated:
        return Advice("isolated cores", "none")
    seen, cpus = listed(tuning.isolated), listed({*tuning.isolated, *topology.allowed})
    if set(tuning.isolated) <= set(topology.allowed):
        return Advice("isolated cores", seen)
    return Advice("isolated cores", f"{seen}, not usable by rtbench", f"start with `taskset -c {cpus}`")


def _irqbalance(tuning: Tuning, _: Topology) -> Advice:
    if not tuning.irqbalance:
        return Advice("irqbalance", "not running")
    return Advice("irqbalance", "running: it moves interrupts between cores", "systemctl stop irqbalance")


def _aslr(tuning: Tuning, _: Topology) -> Advice:
    """Random addresses vary the memory layout from trial to trial, so that its effect averages out."""
    fine = tuning.aslr in ("", _FULLY_RANDOM)
    seen = {"": "not known", _FULLY_RANDOM: "full"}.get(tuning.aslr, f"not full ({tuning.aslr})")
    return Advice("random addresses", seen, "" if fine else f"sysctl kernel.randomize_va_space={_FULLY_RANDOM}")


ADVICE: tuple[Callable[[Tuning, Topology], Advice], ...] = (
    _smt, _governor, _turbo, _power, _profile, _isolated, _irqbalance, _aslr,
)  # fmt: skip
