"""Checks before the first process starts: subjects, descriptors, ports, and the right to load a host.

Invariant: a campaign that passes has no problem that is detectable in advance. Called by the CLI and the
campaign.
"""

from __future__ import annotations

import ipaddress
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

from rtbench.errors import UserError
from rtbench.machine import placement, topology
from rtbench.machine.placement import Place
from rtbench.processes import namespaces
from rtbench.records.reason import Reason
from rtbench.scenario import warm_up
from rtbench.scenario.model import Scenario
from rtbench.subjects import Subject
from rtbench.trial.validity import COST, LATENCY

MOST_CONNECTIONS, MOST_RAMP_HZ, MOST_REQUESTS_HZ = 200, 20.0, 50.0
"""The largest load on a host that is not this machine, even if the user owns it."""

SPARE_DESCRIPTORS = 200
"""File descriptors that are kept for what is not a subscriber."""


def available(scenario: Scenario) -> tuple[Scenario, list[Reason]]:
    """The scenario as it can run here, and a warning for each thing that is missing.

    If subjects are `optional`, the campaign continues without those that cannot run on this machine; the warning is
    also on the report's first screen. Other scenarios stay unchanged: `prepare` refuses them. Raises UserError when no
    subject is left.
    """
    if not scenario.optional:
        return scenario, []
    without: dict[tuple[str, str], list[str]] = {}
    for name in scenario.subjects:
        what, remedy = scenario.subject_of(name).missing()
        if what:
            without.setdefault((what, remedy), []).append(name)
    if not without:
        return scenario, []
    left_out = {name for names in without.values() for name in names}
    rest = tuple(name for name in scenario.subjects if name not in left_out)
    if not rest:
        (what, remedy), *_ = without
        raise UserError(f"no subject of {scenario.name} can run here: they need {what}", remedy)
    warnings = [
        Reason("left-out", f"{', '.join(names)} left out: {what} is missing", remedy, [])
        for (what, remedy), names in without.items()
    ]
    return scenario.only(rest), warnings


def placed(scenario: Scenario) -> tuple[Scenario, Place, list[Reason]]:
    """The scenario with its number of load processes, the placement of its processes, and warnings about it.

    Call it before this process leaves the server's core. Raises UserError for an impossible [place].
    """
    machine = topology.read()
    place = placement.place(machine, scenario.place)
    warnings = [
        Reason(found.kind, found.message, found.remedy, LATENCY + COST if found.server else [])
        for found in placement.cautions(place, machine)
    ]
    return scenario.with_load_cores(len(place.load)), place, warnings


def prepare(scenario: Scenario) -> list[Subject]:
    """The subjects, after checks that the campaign can run here. Raises UserError."""
    for cell in scenario.cells():
        warm_up.check(cell.scenario)
    subjects = [scenario.subject_of(name) for name in scenario.subjects]
    for subject in subjects:
        subject.check()
        if subject.url:
            allow(subject, scenario)
    for routed in sorted({cell.scenario.conditions is not None for cell in scenario.cells() if cell.scenario.apart}):
        namespaces.check(routed)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = scenario.subscribers + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"{scenario.subscribers:,} subscribers need {needed:,} file descriptors, the hard limit is {hard:,}",
            f"raise it (ulimit -Hn {needed}) or take --set subscribers={max(1, hard - SPARE_DESCRIPTORS)}",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    low, high = ports()
    if scenario.subscribers > high - low:
        raise UserError(
            f"{scenario.subscribers:,} subscribers need as many local ports, there are {high - low:,}",
            "widen net.ipv4.ip_local_port_range, or fewer subscribers",
        )
    return subjects


def ports() -> tuple[int, int]:
    """The first and the last local port of outgoing connections."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return 32768, 60999
    return int(low), int(high)


def allow(subject: Subject, scenario: Scenario) -> None:
    """Raises UserError unless this scenario may load the host of a remote subject."""
    host = urlsplit(subject.url).hostname or ""
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise UserError(f"{subject.url}: {error.strerror or error}", "is that the server's name?") from error
    if all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses):
        return
    if not scenario.i_own_this_host:
        raise UserError(f"{host} is not this machine", "--i-own-this-host if you may load it")
    requests_hz = scenario.subscribers / scenario.poll.interval_s if subject.transport == "short-poll" else 0.0
    for what, value, most, setting in (
        ("connections", scenario.subscribers, MOST_CONNECTIONS, "subscribers"),
        ("new connections a second", scenario.ramp_hz, MOST_RAMP_HZ, "ramp_hz"),
        ("polls a second", requests_hz, MOST_REQUESTS_HZ, "poll.interval_s"),
    ):
        if value > most:
            raise UserError(
                f"{host} is another machine: {what} are limited to {most:g} there, not {value:g}", f"--set {setting}=…"
            )
