"""How much code a client is: lines that are neither blank nor comment, and tokens. For Python and JavaScript.

Invariant: layout does not count: a name, a number, a text, an operator or a bracket is one token, however it is set;
comments, docstrings and Python's indentation are none. Called by claim 7.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip

_SCRIPT = re.compile(
    r"""
    (?P<nothing> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<token>
        `(?:\\.|[^`\\])*` | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | [A-Za-z_$][\w$]* | \d[\w.]*
      | >>>=|\.\.\.|===|!==|\*\*=|<<=|>>=|>>>|&&=|\|\|=|\?\?=
      | =>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|\*=|/=|%=|&=|\|=|\^=|<<|>>|\*\*
      | [^\w\s] )
    """,
    re.VERBOSE | re.DOTALL,
)
"""A regular expression literal would come out as its characters; none of the clients has one."""


@dataclass(frozen=True, slots=True)
class Size:
    """A program's size."""

    lines: int
    tokens: int


def size(path: Path) -> Size:
    """The size of a .py or .js file. OSError when it cannot be read."""
    text = path.read_text(encoding="utf-8")
    return python(text) if path.suffix == ".py" else script(text)


def python(text: str) -> Size:
    """Of Python source. SyntaxError when it is none."""
    strings = {
        (body[0].lineno, body[0].col_offset)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and ast.get_docstring(node) is not None
        and (body := node.body)
    }
    lines: set[int] = set()
    tokens = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE and token.start not in strings:
            tokens += 1
            lines.update(range(token.start[0], token.end[0] + 1))
    return Size(len(lines), tokens)


def script(text: str) -> Size:
    """Of JavaScript without regular expression literals."""
    lines: set[int] = set()
    tokens = 0
    for found in _SCRIPT.finditer(text):
        if found["token"] is not None:
            tokens += 1
            first = text.count("\n", 0, found.start())
            lines.update(range(first, first + found[0].count("\n") + 1))
    return Size(len(lines), tokens)
