"""Frames of the websocket: whole messages pass, everything else is refused before anything is built from it."""

import json

import pytest
from emkit_hub.dashboards.channels import MAX_PARTS, FrameError, check_frame
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1

HEADER = json.dumps({"msg_type": "comm_msg"}).encode()


def frame(*buffers: bytes, header: bytes = HEADER, channel: str = "shell", content: bytes = b"{}") -> bytes:
    """A message as jupyter_server writes it."""
    whole: bytes = serialize_msg_to_ws_v1([header, b"{}", b"{}", content, *buffers], channel)
    return whole


@given(st.lists(st.binary(max_size=50), max_size=MAX_PARTS - 5), st.sampled_from(["shell", "control", "stdin"]))
def test_every_whole_message_passes(buffers: list[bytes], channel: str) -> None:
    check_frame(frame(*buffers, channel=channel))


@given(st.binary(max_size=400))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(FrameError):
        check_frame(noise)


@given(st.data())
def test_a_changed_message_is_refused_or_still_whole(data: st.DataObject) -> None:
    whole = bytearray(frame(b"some", b"buffers"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        check_frame(cut)
    except FrameError:
        return
    channel, parts = deserialize_msg_from_ws_v1(cut)  # the parser behind the check: it must agree, and get all bytes once
    assert channel in ("shell", "control", "stdin") and isinstance(json.loads(parts[0])["msg_type"], str)
    assert len(cut) == 8 * (len(parts) + 3) + len(channel) + sum(map(len, parts))


@pytest.mark.parametrize(
    ("found", "bad"),
    [
        ("no bytes", b""),
        ("a giant count", (2**32 - 1).to_bytes(8, "little") + b"abc"),
        ("a count of 2**63", (2**63).to_bytes(8, "little") * 9),
        ("too many parts", frame(*[b""] * MAX_PARTS)),
        ("an offset beyond the end", frame()[:-1]),
        ("bytes behind the end", frame() + b"x"),
        ("an unknown channel", frame(channel="iopub")),
        ("a channel that is no text", frame(channel="shell").replace(b"shell", b"\xff\xff\xff\xff\xff")),
        ("a header that is no object", frame(header=b"[]")),
        ("a header without a type", frame(header=b"{}")),
        ("a type that is no text", frame(header=b'{"msg_type": 3}')),
        ("content that is no JSON", frame(content=b"{")),
        ("content of endless depth", frame(content=b"[" * 100_000)),
    ],
)
def test_a_malformed_frame_is_refused(found: str, bad: bytes) -> None:
    with pytest.raises(FrameError):
        check_frame(bad)
