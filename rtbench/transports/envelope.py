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

from rtbench.transports import Control, Message, ProtocolError, Undecodable


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")  # RFC 8259 §6; Python's json would take NaN and Infinity


# Numbers stay text where only their extent matters: int() refuses more than 4300 digits, which JSON does not.
_DECODER = json.JSONDecoder(parse_constant=_refuse)
_JUDGE = json.JSONDecoder(parse_constant=_refuse, parse_int=str, parse_float=str)
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(rb'\{"id":(0|[1-9][0-9]{0,17}),"data":')
_QUOTE, _BRACE, _END_BRACE = b'"{}'
MAX_DEPTH = 200
"""What nests deeper is not JSON here (RFC 8259 §9 allows a limit). Without it the caller's stack would decide."""
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def is_json(payload: bytes) -> bool:
    """Whether `payload` is one JSON text (RFC 8259) with no white space around it, which an envelope would lose."""
    try:
        text = payload.decode()
        if _JUDGE.raw_decode(text)[1] != len(text):
            return False
        _check_depth(text, 0, len(text))
        return True
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


def reader(carries_id: str, json_payload: bool | None = None, payload: str = "") -> Reader:
    """The reader of message texts, for a transport without ids of its own or one whose ids are not used.

    `carries_id`: "payload" or "protocol", an envelope; "json:A.B", the number at that path of the text; "none", no id
    (-1). `payload`: "json:A.B", the path of the envelope or the payload in the text, which is then JSON; empty: the
    whole text. An object without the path's first key is Control("other").
    The reader of rtbench's own protocol raises ProtocolError. With any other, a message that cannot be read is
    Undecodable, and the next one is read.
    """
    if carries_id == "protocol" and not payload:
        return lambda text: unwrap(text, json_payload)
    enveloped = carries_id in ("protocol", "payload")
    numbered = () if enveloped or carries_id == "none" else _keys("carries_id", carries_id)
    keys = _keys("payload", payload) if payload else ()
    # An envelope is an object: where a string stands in its place, it is the string's text.
    json_value = False if enveloped else json_payload

    def read(text: bytes) -> Message | Control:
        try:
            inner = _taken(text, keys, json_value) if keys else text
            if inner is None:
                return Control("other", {"lacks": keys[0], "text": text[:60].decode("utf-8", "replace")})
            if enveloped:
                return unwrap(inner, json_payload)
            return Message(_number(text, numbered) if numbered else -1, inner)
        except ProtocolError as error:
            return Undecodable(-1, text, str(error))

    def plain(text: bytes) -> Message | Control:
        try:
            return unwrap(text, json_payload)
        except ProtocolError as error:
            return Undecodable(-1, text, str(error))

    return plain if enveloped and not keys else read


def _keys(name: str, place: str) -> tuple[str, ...]:
    kind, _, path = place.partition(":")
    keys = tuple(path.split("."))
    if kind != "json" or not all(keys):
        raise ValueError(f"{name} {place!r} is not json:PATH")
    return keys


def _number(text: bytes, keys: Sequence[str]) -> int:
    number = at_path(text, keys)
    if type(number) is not int or not 0 <= number < 2**63:
        raise ProtocolError(f"no id at {'.'.join(keys)} of {text[:60]!r}")
    return number


def _taken(text: bytes, keys: Sequence[str], json_payload: bool | None) -> bytes | None:
    """The payload at a path of a JSON text, byte for byte; None when the text is an object without the first key.

    A string is taken as its text, unless payloads are JSON and its text is not. Raises ProtocolError.
    """
    try:
        whole = text.decode()
        at, stop = _skip(whole, 0), len(whole)
        for depth, key in enumerate(keys):
            spans = _spans(whole, at)
            if depth == 0:
                last = spans[-1][2] if spans else at + 1
                if _skip(whole, _skip(whole, last) + 1) != len(whole):
                    raise ValueError("text after the message")
            found = [(start, last) for name, start, last in spans if name == key]
            if not found and depth == 0 and whole[at] == "{":
                return None
            if not found:
                raise ValueError(f"no {key}")
            at, stop = found[-1]  # of two members of one name the last counts, as for any reader of JSON
        raw = whole[at:stop]
        inner = json.loads(raw) if raw.startswith('"') else None
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"nothing to take at {'.'.join(keys)} of {text[:60]!r} ({error})") from error
    if inner is None:
        return raw.encode()
    try:
        value: bytes = inner.encode()
    except UnicodeEncodeError:  # half a surrogate pair: nothing that was posted has one
        return raw.encode()
    return raw.encode() if json_payload and not is_json(value) else value


def _spans(text: str, at: int) -> list[tuple[str, int, int]]:
    """Name (in a list: place), start and stop of each value in the object or list at `text[at]`. Raises ValueError."""
    if text.startswith("[", at):
        return [(str(place), start, stop) for place, (start, stop) in enumerate(elements(text, at))]
    return [(name, start, stop) for name, _, start, stop in members(text, at)]


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
        _check_depth(text, start, stop)
        yield name, value, start, stop
        at = _next(text, stop, "}")


def elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Start and stop of every element of the JSON array at `text[at]`. Raises ValueError."""
    at = _open(text, at, "[")
    while not text.startswith("]", at):
        _, stop = _JUDGE.raw_decode(text, at)
        _check_depth(text, at, stop)
        yield at, stop
        at = _next(text, stop, "]")


def _check_depth(text: str, start: int, stop: int) -> None:
    """Raises ValueError where the JSON value at `text[start:stop]` nests too deep. Its size or a count tells mostly."""
    if stop - start <= 2 * MAX_DEPTH or text.count("[", start, stop) + text.count("{", start, stop) <= MAX_DEPTH:
        return
    depth = 0
    for found in _BRACKETS.finditer(text, start, stop):
        bracket = found[0]
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


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
