"""Bodies of posts: what is filled in cannot break them; a wrong template names its key."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtbench.errors import UserError
from rtbench.subjects import Post, Subject
from rtbench.subjects.templates import FORM_TYPE, JSON_TYPE, Body
from rtbench.transports.envelope import is_json, unwrap


@pytest.mark.parametrize(
    ("template", "payload", "expected"),
    [
        ('{"c":"{stream}-{channel}","data":{message}}', b'{"a":1}', b'{"c":"s-7","data":{"id":5,"data":{"a":1}}}'),
        ('{"data":{message}}', b"text", b'{"data":{"id":5,"data":"text"}}'),
        ('{"data":{data},"n":{id},"c":{channel},"s":{stream}}', b'{"a":1}', b'{"data":{"a":1},"n":5,"c":7,"s":"s"}'),
        ('{"data":{data}}', b'te"xt', b'{"data":"te\\"xt"}'),
        ('{"data":"{data}"}', b'{"a":"b"}', b'{"data":"{\\"a\\":\\"b\\"}"}'),
        ('{"a\\"{id}":"\\\\","b":{data}}', b"5", b'{"a\\"5":"\\\\","b":5}'),
        ('{"s":[{"content":"data: {message}\\n\\n"}]}', b'"q"',
         b'{"s":[{"content":"data: {\\"id\\":5,\\"data\\":\\"q\\"}\\n\\n"}]}'),
        ('["{id}",{data}]', "é\n".encode(), '["5","é\\n"]'.encode()),
    ],
)  # fmt: skip
def test_a_json_body(template: str, payload: bytes, expected: bytes) -> None:
    filled = Body.of(template, f"{JSON_TYPE}; charset=utf-8").filled(5, payload, None, "s", 7)
    assert filled == expected
    json.loads(filled)


def test_a_form_and_a_text() -> None:
    form = Body.of("topic={stream}/{channel}&data={data}&id={id}", FORM_TYPE)
    filled = form.filled(5, 'a&b=c+d% "é'.encode(), False, "s", 7)
    assert filled == b"topic=s/7&data=a%26b%3Dc%2Bd%25+%22%C3%A9&id=5"
    assert parse_qsl(filled.decode())[1] == ("data", 'a&b=c+d% "é')
    assert Body.of("{id} {data}{", "text/plain").filled(5, b'"{id}"', True, "s", 7) == b'5 "{id}"{'


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.integers(0, 2**53))
def test_any_payload_comes_out_of_any_place(text: str, number: int) -> None:
    payload = text.encode("utf-8", "replace")
    known = is_json(payload)
    body = Body.of('{"raw":{message},"inside":"{message}","plain":"{data}"}', "application/vnd.x+json")
    found = json.loads(body.filled(number, payload, known, "s", 0))
    assert found["plain"].encode() == payload
    assert unwrap(found["inside"].encode(), known) == unwrap(json.dumps(found["raw"]).encode(), known)


@pytest.mark.parametrize(
    ("post", "message", "remedy"),
    [
        ({"body": "{text}"}, "post_body: unknown placeholder {text}", "choose one of {id}, {data}, {message}, {str"),
        ({"body": "{mesage}"}, "post_body: unknown placeholder {mesage}", "did you mean '{message}'? "),
        ({"body": '{"a":{id}}'}, "post_body: no message would be posted", "write {data} or {message}; there are {id}"),
        ({"body": '{"a":{data}'}, "post_body: not JSON when it is filled in (Expecting", "now application/json"),
        ({"body": "data={data}"}, "post_body: not JSON when it is filled in (Expecting", "set post_type, now"),
        ({"body": "{data}", "wrap": False}, "post_body cannot be combined with post_wrap = false", "remove one"),
        ({"body": "{data}", "batch": 2}, "post_body cannot be combined with post_batch > 1", "remove one"),
        ({"content_type": "a/b", "headers": {"content-Type": "c/d"}}, "post_type and post_headers both", "remove one"),
        ({"path": "/p/{topic}"}, "post_path = '/p/{topic}': unknown placeholder {topic}", "choose one of {stream}, "),
        ({"path": "/p/{}"}, "post_path = '/p/{}': unknown placeholder {}", "write {{ and }} for braces"),
        ({"path": "/p?a={"}, "post_path = '/p?a={': a brace without its pair", "write {{ and }} for braces"),
    ],
)  # fmt: skip
def test_a_wrong_post_names_the_key(post: dict[str, object], message: str, remedy: str) -> None:
    with pytest.raises(UserError) as caught:
        Post(**post)  # type: ignore[arg-type]
    assert caught.value.message.startswith(message)
    assert remedy in caught.value.remedy


def subject(**changes: object) -> Subject:
    return Subject("mine", **{"transport": "sse", "stack": "mine", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "/{topic}"}, "path = '/{topic}': unknown placeholder {topic}"),
        ({"transport": "short-poll", "payload": "json:a"}, "payload: an answer to short-poll holds many messages"),
        ({"carries_id": "payload", "publish": Post(body="{data}")}, "post_body has no id, and carries_id"),
    ],
)
def test_a_subject_that_cannot_be_read_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        subject(**changes)
    assert caught.value.message.startswith(message)


def test_what_goes_together() -> None:
    assert subject(transport="long-poll", codec="conditional", payload="json:a").payload == "json:a"
    assert subject(carries_id="payload", publish=Post(body='{"id":{id},"data":{data}}')).played
    assert subject(carries_id="protocol", publish=Post(body="{data}")).played
    assert subject(path='/{stream}?connect={{"subs":{{}}}}').template.format(stream="a") == '/a?connect={"subs":{}}'
    assert (Post().sent_type, Post(body="{data}").sent_type, Post(content_type="a/b").sent_type) == (
        "",
        JSON_TYPE,
        "a/b",
    )
