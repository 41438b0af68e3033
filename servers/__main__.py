"""`python -m rtbench.servers SUBJECT OPTIONS`: one server process. Run by the campaign and the CLI.

OPTIONS is a `rtbench.messages.server.ServerOptions` as JSON.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace

from rtbench.errors import UserError
from rtbench.messages.server import OPTIONS
from rtbench.servers.kit.app import run
from rtbench.subjects.names import module_at, module_of


def main() -> int:
    """The exit code: 0 after a clean end, 2 for a port in use and the like."""
    name, options = sys.argv[1], OPTIONS(sys.argv[2])
    subject = replace(module_at(options.module or module_of(name)), name=name)
    factory = None
    if options.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(run(subject, options))
    except UserError as error:
        sys.stderr.write(f"rtbench: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
