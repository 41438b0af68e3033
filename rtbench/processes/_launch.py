"""`… -m rtbench.processes._launch PARENT CORES NETWORK COMMAND…`: exec COMMAND on CORES; it dies with PARENT.

Invariant: a child started here never outlives its campaign, even if the campaign is killed with SIGKILL
(PR_SET_PDEATHSIG, prctl(2), survives exec). All its threads run on CORES ("0", "0,1"; "-": any) and in
the network namespace at the path NETWORK ("-": the parent's); its PATH is `rtbench.programs.search_path()`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

from rtbench import programs

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000


def main() -> None:
    """Never returns."""
    parent, cores, network, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)  # the parent left before the kernel was asked
    if cores != "-":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    if network != "-":
        descriptor = os.open(network, os.O_RDONLY)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            sys.exit(f"cannot enter {network}: {os.strerror(ctypes.get_errno())}")
        os.close(descriptor)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ["PATH"] = programs.search_path()
    os.execvp(command[0], command)  # noqa: S606 - without a shell, on purpose


if __name__ == "__main__":
    main()
