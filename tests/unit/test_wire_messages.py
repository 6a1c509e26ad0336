"""Frames between the core and its drivers: whole again however they were cut, and nothing but messages gets through."""
from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecore.wire import messages
from onecore.wire.messages import (
    Cancel,
    Command,
    FrameError,
    Frames,
    Hello,
    Log,
    Message,
    News,
    Progress,
    Result,
    Sample,
    decode,
    encode,
)

ALL: list[Message] = [
    Hello(epoch=3, family="vm", pid=7, settings={"uri": "x"}),
    Command(1, 2, 3, 4, "host01", "kvm", "deploy", ("vm", 5), 60.0, "r1", {"vm": {"id": 5, "name": "é"}}),
    Cancel(1, 2), Progress(1, 2, "copy", 3, 9),
    Result(1, 2, 3, False, "no room", temporary=True, data={"a": [1, None]}),
    News(1, 2, 3, "poweroff", "guest"), Sample(1, 1700000000, host={"cpu": 1.5}, vms=[{"id": 1}]),
    Log("info", "line\r\n\t\U0001f600", 3, "r2")]
docs = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
                    max_leaves=6)


def frame(body: bytes) -> bytes:
    """A frame around any body."""
    return struct.pack(">I", len(body)) + body


def test_the_list_above_holds_every_type() -> None:
    assert {type(m) for m in ALL} == set(messages._TYPES.values())


@pytest.mark.parametrize("message", ALL, ids=lambda m: m.t)
def test_every_message_arrives_as_it_was_sent(message: Message) -> None:
    assert list(Frames().feed(encode(message))) == [message]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=40))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    stream, frames, found, at = b"".join(map(encode, ALL)), Frames(), [], 0
    for size in cuts:
        found += list(frames.feed(stream[at:at + size]))
        at += size
    assert found + list(frames.feed(stream[at:])) == ALL


def test_a_frame_too_large_is_refused_on_both_sides() -> None:
    with pytest.raises(FrameError, match="limit"):
        list(Frames().feed(struct.pack(">I", messages.MAX_FRAME + 1)))
    with pytest.raises(FrameError, match="log of .* limit"):
        encode(Log("info", "x" * messages.MAX_FRAME))


@pytest.mark.parametrize("body", [
    b"", b"hello", b"\xff\xfe", b"[]", b"5", b'"hello"', b"null", b"{}", b'{"t":"no"}', b'{"t":[]}', b'{"t":"cancel"}',
    b'{"t":"command","object":[]}', b'{"t":"command","object":["vm","x"]}', b"[" * 100_000,
    json.dumps({"t": "command", "object": ["vm", None]}).encode()])
def test_garbage_is_a_frame_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        list(Frames().feed(frame(body)))


@given(st.binary(max_size=60) | docs.map(lambda d: frame(json.dumps(d).encode())))
def test_any_bytes_are_messages_or_a_frame_error(data: bytes) -> None:
    try:
        assert all(isinstance(m, Message) for m in Frames().feed(data))
    except FrameError as error:
        assert str(error)


def test_a_newer_side_may_say_more() -> None:
    assert decode(b'{"t":"cancel","op":1,"attempt":2,"why":"new"}') == Cancel(1, 2)


@pytest.mark.parametrize("bad", ["\0", "\b", "\f", "\x1b", "\ufffe", "\ud800"])
def test_what_xml_cannot_carry_is_replaced(bad: str) -> None:
    sent = Result(1, 1, 1, False, f"a{bad}b", data={f"k{bad}": [bad, {"x": f"{bad}\n"}]})
    found = decode(encode(sent)[4:])
    assert isinstance(found, Result) and found.error == "a\ufffdb"
    assert found.data == {"k\ufffd": ["\ufffd", {"x": "\ufffd\n"}]}
    raw = json.dumps({"t": "log", "level": "info", "text": bad}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if bad > "\x20":
        assert decode(raw) == Log("info", "\ufffd")


@given(docs.filter(lambda d: isinstance(d, dict)))
def test_documents_keep_what_xml_can_carry(doc: messages.Doc) -> None:
    found = decode(encode(Hello(settings=doc))[4:])
    assert isinstance(found, Hello) and found.settings == messages._clean(doc)
