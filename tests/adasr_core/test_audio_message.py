import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.audio_packet import (
    AUDIO_FRAME_MS,
    MAX_AUDIO_FRAME_BYTES,
    MAX_AUDIO_MESSAGE_BYTES,
    AudioMessage,
)

TWO = AudioMessage(frame_ms=40, sequence=0x0102, time_ms=0xFFFE, frames=(b"\x11\x12", b"", b"\x21"))
LONG = AudioMessage(frame_ms=60, sequence=7, time_ms=8, frames=(bytes(range(250)) + b"1234567", b"\x31\x32"))


def test_golden_bytes() -> None:
    """docs/audio.md: 0x42 is 40 ms and three frames; the silent one in between is a length of 0."""
    assert TWO.pack() == bytes.fromhex("42 0102 fffe 02 1112 00 21")
    # 257 = 253 + 4 * 1
    assert LONG.pack()[:7] == bytes.fromhex("81 0007 0008 fd 01")
    assert LONG.pack().endswith(b"1234567\x31\x32")


packets = st.binary(min_size=0, max_size=300)
ends = st.binary(min_size=1, max_size=200)


@given(
    frame_ms=st.sampled_from(AUDIO_FRAME_MS),
    sequence=st.integers(0, 0xFFFF),
    time_ms=st.integers(0, 0xFFFF),
    between=st.lists(packets, max_size=2),
    first=ends,
    last=ends,
)
def test_round_trip(
    frame_ms: int, sequence: int, time_ms: int, between: list[bytes], first: bytes, last: bytes
) -> None:
    if len(first) + sum(map(len, between)) + len(last) > MAX_AUDIO_MESSAGE_BYTES - 16:
        between = []
    message = AudioMessage(frame_ms=frame_ms, sequence=sequence, time_ms=time_ms, frames=(first, *between, last))
    data = message.pack()
    assert len(data) == message.size_bytes
    assert AudioMessage.unpack(data) == message


@pytest.mark.parametrize("message", [TWO, LONG])
def test_every_truncation_is_refused_or_shorter_sound(message: AudioMessage) -> None:
    data = message.pack()
    head = len(data) - len(message.frames[-1])
    for length in range(len(data)):
        if length > head:
            assert AudioMessage.unpack(data[:length]).frames[-1] == message.frames[-1][: length - head]
        else:
            with pytest.raises(BitstreamError):
                AudioMessage.unpack(data[:length])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("c0 0000 0000 11", "head"),
        ("10 0000 0000 11", "head"),
        ("20 0000 0000 11", "head"),
        ("01 0000 0000 00 11", "first and last"),
        ("01 0000 0000 05 11", "frame length"),
        ("01 0000 0000 01 11", "first and last"),
        ("01 0000 0000 fc", "within a frame's length"),
        ("00 0000 0000" + "11" * (MAX_AUDIO_FRAME_BYTES + 1), "first and last"),
        ("00" * (MAX_AUDIO_MESSAGE_BYTES + 1), "message length"),
    ],
)
def test_bad_bytes_are_named(data: str, why: str) -> None:
    with pytest.raises(BitstreamError, match=why):
        AudioMessage.unpack(bytes.fromhex(data))


@pytest.mark.parametrize(
    "change",
    [
        {"frame_ms": 10},
        {"sequence": 65536},
        {"time_ms": -1},
        {"frames": ()},
        {"frames": (b"", b"1")},
        {"frames": (b"1", b"")},
        {"frames": (bytes(MAX_AUDIO_FRAME_BYTES + 1),)},
        {"frames": (bytes(400),) * 3},
        {"frames": (b"1",) * 17},
    ],
)
def test_a_message_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    fields: dict[str, object] = {"frame_ms": 20, "sequence": 0, "time_ms": 0, "frames": (b"1",), **change}
    with pytest.raises(ValueError, match=r"got|silent"):
        AudioMessage(**fields)  # type: ignore[arg-type]
