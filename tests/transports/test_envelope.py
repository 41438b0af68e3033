"""The JSON envelope: payloads come out byte for byte as they went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rtbench.transports import Control, Message, ProtocolError, Undecodable
from rtbench.transports.envelope import is_json, reader, unwrap, wrap

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.one_of(
    st.builds(lambda value, spaced: json.dumps(value, indent=1 if spaced else None).encode(), JSON, st.booleans()),
    st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace")),
)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a": 1.50}', True),
        (b"[]", True),
        (b"-0.5e7", True),
        (b'"a"', True),
        (b"null", True),
        (b"9" * 5000, True),
        (b"", False),
        (b" 1", False),
        (b"1\n", False),
        (b"NaN", False),
        (b"[Infinity]", False),
        (b"{a:1}", False),
        (b"1 2", False),
        (b"\xff", False),
        (b"[" * 100_000, False),
    ],
)
def test_is_json(payload: bytes, expected: bool) -> None:
    assert is_json(payload) is expected


def test_wrap() -> None:
    assert wrap(5, b'{"a": 1.50}') == b'{"id":5,"data":{"a": 1.50}}'
    assert wrap(5, "é\n".encode()) == '{"id":5,"data":"é\\n"}'.encode()
    assert wrap(5, b"5", False) == b'{"id":5,"data":"5"}'
    with pytest.raises(ValueError, match="utf-8"):
        wrap(5, b"\xff")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**63 - 1), PAYLOADS)
@example(1, b'"abc"')
@example(1, b'"5"')
@example(1, b"5")
@example(1, b'"\\ud800"')
@example(1, b'{"a":{"b":1},"c":"}"}')
@example(1, b'{"a":1},"b":{}')
def test_there_and_back(number: int, payload: bytes) -> None:
    known = is_json(payload)
    assert wrap(number, payload) == wrap(number, payload, known)
    assert unwrap(wrap(number, payload), known) == Message(number, payload)
    if not (known and payload[:1] == b'"' and not is_json(json.loads(payload).encode("utf-8", "surrogatepass"))):
        assert unwrap(wrap(number, payload)) == Message(number, payload)


@settings(max_examples=100, deadline=None)
@given(JSON, st.booleans(), st.booleans())
def test_any_writer(value: object, last: bool, spaced: bool) -> None:
    """Members in any order, with any white space and with others beside them."""
    separators = (" , ", " : ") if spaced else (",", ":")
    members = {"id": 5, "data": value, "more": {"x": [1]}} if last else {"more": 1, "data": value, "id": 5}
    text = json.dumps(members, separators=separators).encode()
    assert unwrap(text, True) == Message(5, json.dumps(value, separators=separators).encode())


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        (b'{"id":1,"data":5,"x":6}', b"5"),
        (b'{"id":1,"data":{"a":1},"x":{}}', b'{"a":1}'),
        (b'{"id":1,"data":{"a":1} }', b'{"a":1}'),
        (b'{"id":1,"data":[{"a":1},{"b":2}]}', b'[{"a":1},{"b":2}]'),
        (b' {"id":1,"data":"abc"} ', b"abc"),
        (b'{"id":1,"data":"{}"}', b'"{}"'),
        (b'{"id":1,"data":"\\ud800"}', b'"\\ud800"'),
    ],
)
def test_unwrap(text: bytes, payload: bytes) -> None:
    assert unwrap(text) == Message(1, payload)


def test_controls() -> None:
    assert unwrap(b'{"control":"end","last":3}') == Control("end", {"last": 3})
    assert unwrap(b'{"after_ms":1,"control":"retry"}') == Control("retry", {"after_ms": 1})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"{}",
        b"[]",
        b'{"id":1}',
        b'{"data":1}',
        b'{"id":"1","data":1}',
        b'{"id":true,"data":1}',
        b'{"id":-1,"data":1}',
        b'{"id":9223372036854775808,"data":1}',
        b'{"id":01,"data":1}',
        b'{"id":1,"data":}',
        b'{"id":1,"data":NaN}x',
        b'{"id":1,"data":[1}',
        b'{"id":1,"data":1}}',
        b'{"id":1,"data":1,}',
        b'{"id":1 "data":1}',
        b'{"id":1,2:1}',
        b'{"id" 1}',
        b'{"control":5}',
        b'{"id":1,"data":"\xff"}',
        b'{"id":1,"data":' + b"[" * 100_000 + b"}",
    ],
)
def test_malformed(text: bytes) -> None:
    with pytest.raises(ProtocolError, match="malformed envelope"):
        unwrap(text)


# What a foreign server sends


ENVELOPE = b'{"id":5,"data":{"a": 1.50}}'


@pytest.mark.parametrize(
    ("text", "payload", "carries_id", "expected"),
    [
        (b'{"pub":{"data":%b}}' % ENVELOPE, "json:pub.data", "payload", Message(5, b'{"a": 1.50}')),
        (b' { "channel":"c", "pub" : { "data" : %b , "offset":7 } } ' % ENVELOPE, "json:pub.data", "payload",
         Message(5, b'{"a": 1.50}')),
        (b'{"pub":{"data":"{\\"id\\":5,\\"data\\":\\"x\\"}"}}', "json:pub.data", "payload", Message(5, b"x")),
        (b'{"pub":{"data":{"a":1},"offset":7}}', "json:pub.data", "json:pub.offset", Message(7, b'{"a":1}')),
        (b'{"pub":{"data":{"a":1}}}', "json:pub.data", "none", Message(-1, b'{"a":1}')),
        (b'[{"x":0},{"x":%b}]' % ENVELOPE, "json:1.x", "payload", Message(5, b'{"a": 1.50}')),
        (b'{"m":[0,{"x":%b}]}' % ENVELOPE, "json:m.1.x", "payload", Message(5, b'{"a": 1.50}')),
        (b'{"x":1,"x":%b}' % ENVELOPE, "json:x", "payload", Message(5, b'{"a": 1.50}')),
        (b'{"x":{"control":"end","last":3}}', "json:x", "payload", Control("end", {"last": 3})),
        (b"{}", "json:pub.data", "payload", Control("other", {"lacks": "pub", "text": "{}"})),
        (b' {"connect":{"a":1}}', "json:pub.data", "payload",
         Control("other", {"lacks": "pub", "text": ' {"connect":{"a":1}}'})),
        (ENVELOPE, "", "payload", Message(5, b'{"a": 1.50}')),
    ],
)  # fmt: skip
def test_what_was_posted_is_taken_from_where_it_is(
    text: bytes, payload: str, carries_id: str, expected: Message | Control
) -> None:
    assert reader(carries_id, None, payload)(text) == expected


@pytest.mark.parametrize(
    ("value", "json_payload", "payload"),
    [
        (b'"text"', False, b"text"),
        (b'"{\\"a\\":1}"', False, b'{"a":1}'),
        (b'"{\\"a\\":1}"', True, b'{"a":1}'),  # JSON that was posted inside a string
        (b'"text"', True, b'"text"'),  # JSON that is a string
        (b'"text"', None, b"text"),
        (b"5", None, b"5"),
        (b'"\\ud800"', False, b'"\\ud800"'),
    ],
)
def test_a_string_in_the_payload_s_place(value: bytes, json_payload: bool | None, payload: bytes) -> None:
    assert reader("none", json_payload, "json:x")(b'{"x":%b}' % value) == Message(-1, payload)


@pytest.mark.parametrize("payload", ["", "json:pub.data"])
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[]",
        b"\xff",
        b'{"pub":{}}',
        b'{"pub":5}',
        b'{"pub":{"data":5}}',
        b'{"pub":{"data":{"id":1}}}',
        b'{"pub":{"data":%b}}}' % ENVELOPE,
        b'{"pub":{"data":%b}' % ENVELOPE,
        b'{"pub":' + b"[" * 100_000,
        b'{"pub":{"data":' + b"9" * 5000,
    ],
)
def test_what_cannot_be_read_is_one_message_and_no_exception(text: bytes, payload: str) -> None:
    found = reader("payload", True, payload)(text)
    assert isinstance(found, Undecodable)
    assert (found.id, found.payload) == (-1, text)
    assert len(found.why) < 400


def test_an_id_that_is_missing() -> None:
    found = reader("json:n", True)(b'{"m":5}')
    assert found == Undecodable(-1, b'{"m":5}', "no id at n of b'{\"m\":5}'")
    with pytest.raises(ValueError, match="carries_id 'xml:a' is not json:PATH"):
        reader("xml:a")
    with pytest.raises(ValueError, match=r"payload 'json:a\.\.b' is not json:PATH"):
        reader("payload", None, "json:a..b")
