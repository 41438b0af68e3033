"""The templates of a subject: paths, and the body of a post for a server that wants it in a shape of its own.

Invariant: what is filled into a body cannot break it: it is encoded for its place (a JSON value, the inside of a JSON
string, a form). A wrong template is a UserError that names the key before anything is sent. Checked by
`rtbench.subjects.model`; bodies are filled in by the publisher (`rtbench.servers.publisher.post`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote_plus

from rtbench.errors import UserError, one_of
from rtbench.transports.envelope import is_json, wrap

PLACES = ("id", "data", "message", "stream", "channel")
"""What a body may hold: the message's number, PAYLOAD, the envelope of both, and the channel's names."""
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"

_PLACE = re.compile(r"\{([A-Za-z_]\w*)\}")
_SAMPLES = ((b'a "b" \\ c', False), (b'{"a":"b \\" \\\\"}', True))


def check_path(key: str, template: str, names: Sequence[str]) -> None:
    """Raises UserError for a path that has other placeholders than `names`."""
    shown = ", ".join(f"{{{name}}}" for name in names)
    try:
        found = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UserError(
            f"{key} = {template!r}: a brace without its pair", f"write {{{{ and }}}} for braces; there are {shown}"
        ) from error
    for name in found:
        if name not in names:
            text = f"{key} = {template!r}: unknown placeholder {{{name}}}"
            raise UserError(text, f"choose one of {shown}; write {{{{ and }}}} for braces")


@dataclass(frozen=True, slots=True)
class _Values:
    """What one message fills in."""

    seq: int
    payload: bytes
    json_payload: bool
    stream: str
    channel: int

    def text(self, name: str) -> bytes:
        """As plain text."""
        match name:
            case "id":
                return b"%d" % self.seq
            case "data":
                return self.payload
            case "message":
                return wrap(self.seq, self.payload, self.json_payload)
            case "stream":
                return self.stream.encode()
            case _:
                return b"%d" % self.channel

    def value(self, name: str) -> bytes:
        """As a JSON value."""
        text = self.text(name)
        if name == "stream" or (name == "data" and not self.json_payload):
            return json.dumps(text.decode(), ensure_ascii=False).encode()
        return text

    def inside(self, name: str) -> bytes:
        """As a piece of a JSON string."""
        return json.dumps(self.text(name).decode(), ensure_ascii=False)[1:-1].encode()

    def form(self, name: str) -> bytes:
        """As a piece of a form's value (WHATWG URL §5.2)."""
        return quote_plus(self.text(name)).encode()


@dataclass(frozen=True, slots=True)
class Body:
    """A template, taken apart: `texts` stand around the `places`, each a name and how it is filled in."""

    texts: tuple[bytes, ...]
    places: tuple[tuple[str, Callable[[_Values, str], bytes]], ...]

    @classmethod
    def of(cls, template: str, content_type: str) -> Body:
        """The template of a body of this type. Raises UserError."""
        *pairs, last = _PLACE.split(template)
        texts, names = pairs[::2], pairs[1::2]
        shown = [f"{{{name}}}" for name in PLACES]
        for name in names:
            if name not in PLACES:
                raise UserError(f"post_body: unknown placeholder {{{name}}}", one_of(f"{{{name}}}", shown))
        if not {"data", "message"} & set(names):
            places_are = ", ".join(shown)
            raise UserError(
                "post_body: no message would be posted", f"write {{data}} or {{message}}; there are {places_are}"
            )
        kind = content_type.partition(";")[0].strip().lower()
        as_json = kind == JSON_TYPE or kind.endswith("+json")
        places: list[tuple[str, Callable[[_Values, str], bytes]]] = []
        inside = False
        for text, name in zip(texts, names, strict=True):
            if as_json:
                inside = _inside(text, inside)
                places.append((name, _Values.inside if inside else _Values.value))
            else:
                places.append((name, _Values.form if kind == FORM_TYPE else _Values.text))
        body = cls(tuple(text.encode() for text in (*texts, last)), tuple(places))
        if as_json:
            body._check(kind)
        return body

    def _check(self, kind: str) -> None:
        for payload, json_payload in _SAMPLES:
            try:
                json.loads(self.filled(1, payload, json_payload, "stream", 0))
            except ValueError as error:
                raise UserError(
                    f"post_body: not JSON when it is filled in ({error})", f"correct it, or set post_type, now {kind}"
                ) from error

    def filled(self, seq: int, payload: bytes, json_payload: bool | None, stream: str, channel: int) -> bytes:
        """The body of one message. `json_payload`: what `is_json(payload)` is known to be; None looks."""
        known = is_json(payload) if json_payload is None else json_payload
        values = _Values(seq, payload, known, stream, channel)
        made = [self.texts[0]]
        for (name, encoded), text in zip(self.places, self.texts[1:], strict=True):
            made += (encoded(values, name), text)
        return b"".join(made)

    @property
    def names(self) -> frozenset[str]:
        """The placeholders that it has."""
        return frozenset(name for name, _ in self.places)


def _inside(text: str, inside: bool) -> bool:
    """Whether a JSON text is inside a string at the end of `text`, if it was (`inside`) at its start."""
    escaped = False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == '"':
            inside = not inside
        else:
            escaped = inside and letter == "\\"
    return inside
