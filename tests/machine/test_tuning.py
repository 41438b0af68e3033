"""Settings of made-up machines: a folder in place of /; each that makes numbers move has a remedy, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rtbench.machine.topology import read
from rtbench.machine.tuning import ADVICE, Advice, Tuning, advise, look

Machine = Callable[..., Path]
CPUS = "sys/devices/system/cpu"
POWER = "sys/class/power_supply"


def advice(root: Path, check: str, allowed: set[int]) -> Advice:
    topology = read(root, allowed)
    found = list(advise(look(topology, root), topology))
    assert len({one.check for one in found}) == len(found) == len(ADVICE)
    (one,) = (one for one in found if one.check == check)
    return one


def test_a_machine_that_says_nothing_has_nothing_against_it(tmp_path: Path) -> None:
    topology = read(tmp_path, {0, 1})
    seen = look(topology, tmp_path)
    assert seen == Tuning(False, "", "", None, None, "", (), False, "")
    assert {one.remedy for one in advise(seen, topology)} == {""}


@pytest.mark.parametrize(
    ("texts", "check", "seen", "remedy"),
    [
        ({f"{CPUS}/smt/active": "0"}, "SMT", "off", ""),
        ({f"{CPUS}/smt/active": "1"}, "SMT", "on", "echo off > /sys/devices/system/cpu/smt/control"),
        ({f"{CPUS}/cpu0/cpufreq/scaling_governor": "performance"}, "frequency governor", "performance", ""),
        (
            {
                f"{CPUS}/cpu0/cpufreq/scaling_governor": "powersave",
                f"{CPUS}/cpu1/cpufreq/scaling_governor": "performance",
                f"{CPUS}/cpu0/cpufreq/scaling_driver": "intel_pstate",
            },
            "frequency governor",
            "performance, powersave (intel_pstate)",
            "cpupower frequency-set -g performance",
        ),
        ({f"{CPUS}/intel_pstate/no_turbo": "1"}, "turbo", "off", ""),
        (
            {f"{CPUS}/intel_pstate/no_turbo": "0", f"{CPUS}/cpu0/cpufreq/scaling_driver": "intel_pstate"},
            "turbo",
            "on",
            "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo",
        ),
        ({f"{CPUS}/cpufreq/boost": "0"}, "turbo", "off", ""),
        ({f"{CPUS}/cpufreq/boost": "1"}, "turbo", "on", "echo 0 > /sys/devices/system/cpu/cpufreq/boost"),
        ({f"{POWER}/BAT0/type": "Battery", f"{POWER}/BAT0/status": "Charging"}, "power", "on mains", ""),
        ({f"{POWER}/BAT0/type": "Battery", f"{POWER}/BAT0/status": "Discharging"}, "power", "on battery", "plug it in"),
        (
            {
                f"{POWER}/mouse/type": "Battery",
                f"{POWER}/mouse/scope": "Device",
                f"{POWER}/mouse/status": "Discharging",
                f"{POWER}/AC/type": "Mains",
            },
            "power",
            "no battery",
            "",
        ),
        ({"sys/firmware/acpi/platform_profile": "performance"}, "power profile", "performance", ""),
        (
            {"sys/firmware/acpi/platform_profile": "low-power"},
            "power profile",
            "low-power",
            "powerprofilesctl set performance",
        ),
        ({f"{CPUS}/isolated": ""}, "isolated cores", "none", ""),
        ({f"{CPUS}/isolated": "1"}, "isolated cores", "1", ""),
        (
            {f"{CPUS}/isolated": "1-3"},
            "isolated cores",
            "1-3, not usable by rtbench",
            "start with `taskset -c 0-3`",
        ),
        ({"proc/77/comm": "bash"}, "irqbalance", "not running", ""),
        ({"proc/77/comm": "irqbalance"}, "irqbalance", "running", "systemctl stop irqbalance"),
        ({"proc/sys/kernel/randomize_va_space": "2"}, "random addresses", "full", ""),
        (
            {"proc/sys/kernel/randomize_va_space": "1"},
            "random addresses",
            "not full (1)",
            "sysctl kernel.randomize_va_space=2",
        ),
    ],
)
def test_each_setting_has_its_remedy(
    machine: Machine, texts: dict[str, str], check: str, seen: str, remedy: str
) -> None:
    found = advice(machine(["0", "1", "2", "3"], texts=texts), check, {0, 1})
    assert found.seen.partition(":")[0] == seen
    assert found.remedy == remedy


def test_hyperthreads_are_seen_without_the_kernels_switch(machine: Machine) -> None:
    assert advice(machine(["0-1", "2-3"]), "SMT", {0, 1, 2, 3}).remedy.startswith("echo off")


def test_one_core_keeps_its_second_thread(machine: Machine) -> None:
    """Without it server and load would share a cpu."""
    assert advice(machine(["0-1"]), "SMT", {0, 1}).remedy == "measure on a machine with more physical cores"
