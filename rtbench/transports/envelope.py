"""The JSON envelope `{"id":N,"data":PAYLOAD}`, for transports that carry no identifier of their own.

PAYLOAD is unchanged, byte for byte, if it is JSON; otherwise it is a JSON string (interface.md, Wire).
Invariant: `unwrap(wrap(n, p, j), j)` is `Message(n, p)` for any UTF-8 `p`, with `j = is_json(p)`. Without `j`, unwrap
confuses one kind of payload: a JSON string whose text is not itself JSON (`"abc"`, quotes included) looks like the
wrapped `abc`, and unwrap returns `abc`. Callers that know the stream pass `j`.
Servers call `wrap` once a tick; the websocket and poll codecs call `unwrap`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from rtbench.transports import Control, Message, ProtocolError


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")  # RFC 8259 §6; Python's json would take NaN and Infinity


# Numbers stay text where only their extent matters: int() refuses more than 4300 digits, which JSON does not.
_DECODER = json.JSONDecoder(parse_constant=_refuse)
_JUDGE = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(rb'\{"id":(0|[1-9][0-9]{0,17}),"data":')
_QUOTE, _BRACE, _END_BRACE = b'"{}'


def is_json(payload: bytes) -> bool:
    """Whether `payload` is one JSON text (RFC 8259) with no white space around it, which an envelope would lose."""
    try:
        text = payload.decode()
        return _JUDGE.raw_decode(text)[1] == len(text)
    except (ValueError, RecursionError):
        return False


def wrap(seq: int, payload: bytes, json_payload: bool | None = None) -> bytes:
    """The envelope of one tick. `json_payload`: the known value of `is_json(payload)`; None computes it (some µs).

    ValueError (UnicodeDecodeError) if the payload is neither JSON nor UTF-8.
    """
    if json_payload is None:
        json_payload = is_json(payload)
    if not json_payload:
        payload = json.dumps(payload.decode(), ensure_ascii=False).encode()
    return b'{"id":%d,"data":%b}' % (seq, payload)


def unwrap(text: bytes, json_payload: bool | None = None) -> Message | Control:
    """The content of an envelope: a Message, or the Control of `{"control":KIND,…}` with the other members as fields.

    `json_payload` decides how a JSON string in `data` is read. True: it is the payload itself. False: it is a wrapped
    payload. None: it is a wrapped payload unless its text is JSON, which no server would have wrapped.
    A plain envelope is not searched for faults inside PAYLOAD (its digest shows them); any other text is parsed whole.
    Raises ProtocolError.
    """
    found = _PLAIN.match(text)
    if found is not None and text.endswith(b"}"):
        value = text[found.end() : -1]
        if _alone(value):
            return Message(int(found[1]), value)
    try:
        return _unwrap(text.decode(), json_payload)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"malformed envelope: {error}") from error


Reader = Callable[[bytes], Message | Control]


def reader(carries_id: str, json_payload: bool | None = None) -> Reader:
    """The reader of message texts, for a transport without ids of its own or one whose ids are not used.

    `carries_id`: "payload" or "protocol", an envelope; "json:A.B", the number at that path of a JSON text, which is
    itself the payload; "none", a payload without an id (-1). The reader raises ProtocolError.
    """
    if carries_id in ("payload", "protocol"):
        return lambda text: unwrap(text, json_payload)
    if carries_id == "none":
        return lambda text: Message(-1, text)
    kind, _, path = carries_id.partition(":")
    if kind != "json" or not path:
        raise ValueError(f"carries_id {carries_id!r}: expected protocol, payload, json:PATH or none")
    keys = path.split(".")

    def read(text: bytes) -> Message:
        number = at_path(text, keys)
        if type(number) is not int or not 0 <= number < 2**63:
            raise ProtocolError(f"no id at {path} of {text[:60]!r}")
        return Message(number, text)

    return read


def at_path(text: bytes, keys: Sequence[str]) -> Any:
    """The value at a path of a JSON text; None if the path does not exist. A number picks an element of a list."""
    try:
        value = json.loads(text)
        for key in keys:
            value = value[int(key)] if isinstance(value, list) else value[key]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return value


def _alone(value: bytes) -> bool:
    """Whether `value` is certainly one JSON value other than a string, provided that the text around it is JSON.

    Another member after an object needs a closing brace before the end: without one, as in most ticks, nothing has to
    be parsed.
    """
    if not value or value[0] == _QUOTE:
        return False
    if value[0] == _BRACE and value.find(_END_BRACE) == len(value) - 1:
        return True
    return is_json(value)


def _unwrap(text: str, json_payload: bool | None) -> Message | Control:
    fields: dict[str, Any] = {}
    payload = b""
    at = _skip(text, 0)
    stop = at + 1
    for name, value, start, stop in members(text, at):
        fields[name] = value
        if name == "data":
            payload = original(value, text[start:stop].encode(), json_payload)
    if _skip(text, _skip(text, stop) + 1) != len(text):
        raise ValueError("text after the envelope")
    kind = fields.pop("control", None)
    if isinstance(kind, str):
        return Control(kind, fields)
    number = fields.get("id")
    if "data" not in fields or type(number) is not int or not 0 <= number < 2**63:
        raise ValueError("neither id and data nor control")
    return Message(number, payload)


def original(value: object, raw: bytes, json_payload: bool | None = None) -> bytes:
    """The payload of a `data` member. `value`: the parsed member. `raw`: its bytes."""
    if json_payload or not (raw.startswith(b'"') and isinstance(value, str)):
        return raw
    try:
        inner = value.encode()
    except UnicodeEncodeError:  # half a surrogate pair: no payload could have been wrapped into it
        return raw
    return raw if json_payload is None and is_json(inner) else inner


def members(text: str, at: int) -> Iterator[tuple[str, Any, int, int]]:
    """Name, value, start and stop of every member of the JSON object at `text[at]`. Raises ValueError.

    Numbers inside `data` come as text, because only their extent matters.
    """
    at = _open(text, at, "{")
    while not text.startswith("}", at):
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not isinstance(name, str) or not text.startswith(":", at):
            raise ValueError(f"no member at character {at}")
        start = _skip(text, at + 1)
        value, stop = (_JUDGE if name == "data" else _DECODER).raw_decode(text, start)
        yield name, value, start, stop
        at = _next(text, stop, "}")


def elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Start and stop of every element of the JSON array at `text[at]`. Raises ValueError."""
    at = _open(text, at, "[")
    while not text.startswith("]", at):
        _, stop = _JUDGE.raw_decode(text, at)
        yield at, stop
        at = _next(text, stop, "]")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found is not None else at


def _open(text: str, at: int, bracket: str) -> int:
    if not text.startswith(bracket, at):
        raise ValueError(f"no {bracket} at character {at}")
    return _skip(text, at + 1)


def _next(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    if text.startswith(closing, at):
        return at
    if not text.startswith(",", at):
        raise ValueError(f"neither comma nor {closing} at character {at}")
    at = _skip(text, at + 1)
    if text.startswith(closing, at):
        raise ValueError(f"a comma before {closing} at character {at}")
    return at
