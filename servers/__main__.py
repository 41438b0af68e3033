"""`python -m rtbench.servers SUBJECT OPTIONS`: one server process; OPTIONS is JSON. Run by the campaign and the CLI."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from rtbench.errors import UserError
from rtbench.scenario.tables import Injection
from rtbench.servers.kit.app import Options, run
from rtbench.servers.kit.channel import Limits
from rtbench.subjects.names import module_at, module_of


def main() -> int:
    """The exit code: 0 after a clean end, 2 for a port in use and the like."""
    name, table = sys.argv[1], json.loads(sys.argv[2])
    subject = replace(module_at(table.pop("module", "") or module_of(name)), name=name)
    inject = tuple(Injection(**row) for row in table.get("inject", ()))
    options = Options(**{**table, "limits": Limits(**table["limits"]), "inject": inject})
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
