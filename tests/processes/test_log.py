"""What is shown of a program's log: the line that says why, whatever stands around it."""

from __future__ import annotations

import pytest

from rtbench.processes._log import LAST, MOST, telling

NODE = """node:events:497
      throw er; // Unhandled 'error' event
      ^

Error: listen EADDRINUSE: address already in use 127.0.0.1:8000
    at Server.setupListenHandle [as _listen2] (node:net:1897:16)
Emitted 'error' event on Server instance at:
  code: 'EADDRINUSE',
}

Node.js v20.19.2
"""
NODE_MISSING = """node:internal/modules/cjs/loader:1228
  throw err;

Error: Cannot find module '/srv/server.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)
  requireStack: []
}

Node.js v20.19.2
"""
PYTHON = """Traceback (most recent call last):
  File "server.py", line 3, in <module>
    import tornadoo
ModuleNotFoundError: No module named 'tornadoo'
"""
RUST = """thread 'main' panicked at src/main.rs:4:5:
called `Result::unwrap()` on an `Err` value: Os { message: "Address already in use" }
note: run with `RUST_BACKTRACE=1`
"""
GO = "2026/11/28 starting\n2026/11/28 listen tcp 127.0.0.1:80: bind: address already in use\nexit status 1\n"


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        (NODE, "Error: listen EADDRINUSE: address already in use 127.0.0.1:8000 | … | Node.js v20.19.2"),
        (NODE_MISSING, "Error: Cannot find module '/srv/server.js' | … | Node.js v20.19.2"),
        (PYTHON, "ModuleNotFoundError: No module named 'tornadoo'"),
        (RUST, f"{RUST.splitlines()[1]} | {RUST.splitlines()[2]}"),
        (GO, "2026/11/28 listen tcp 127.0.0.1:80: bind: address already in use | exit status 1"),
        ("env: 'nodee': No such file or directory\n", "env: 'nodee': No such file or directory"),
        ("up\nconfiguration failed at line 3\nbye\n", "configuration failed at line 3 | bye"),
        ("\n".join(map(str, range(9))), " | ".join(map(str, range(9 - LAST, 9)))),
        ("x" * 2 * MOST, "x" * MOST),
        ("", ""),
    ],
    ids=["node", "node-missing", "python", "rust", "go", "env", "weak", "none", "long", "empty"],
)
def test_the_lines_that_matter(log: str, shown: str) -> None:
    assert telling(log) == shown
