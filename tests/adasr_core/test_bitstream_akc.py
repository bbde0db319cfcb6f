"""The file form: round trips, golden bytes, every truncation, every flipped bit, fuzz behind a right checksum."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasr_core.bitstream.akc import AkcFile, AkcWriter, read_akc
from adasr_core.bitstream.akc_records import (
    AkcHeader,
    AudioPacket,
    AudioStream,
    TimedMotion,
    pack_signed_varint,
    pack_varint,
    unpack_signed_varint,
    unpack_varint,
)
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MotionPacket, ReferencePacket

HEADER = AkcHeader(codec_id="0123456789abcdef", model="edge", frame_px=512, frame_rate=(25, 1), frames=2)
AUDIO = AudioStream(codec_name="aac", sample_rate=48000, layout="stereo", time_base=(1, 48000), extradata=b"\x11\x90")


def _reference(slot: int = 0, generation: int = 0) -> ReferencePacket:
    return ReferencePacket(
        slot=slot, generation=generation, time_ms=0, frame_px=512, parameters=b"\xaa", picture=b"\xbb\xcc"
    )


def _motion(number: int, slot: int = 0, generation: int = 0) -> MotionPacket:
    return MotionPacket(
        slot=slot, generation=generation, sequence=number % 256, time_ms=40 * number, quality=4, body=bytes([number, 7])
    )


def _written(*, audio: bool = True) -> bytes:
    file = io.BytesIO()
    with AkcWriter(file, HEADER) as writer:
        if audio:
            writer.write_audio_stream(AUDIO)
            writer.write_audio_packet(AudioPacket(-1024, 1024, b"sound"))
        writer.write_reference(_reference())
        writer.write_motion(_motion(0), 0)
        if audio:
            writer.write_audio_packet(AudioPacket(0, 1024, b"more"))
        writer.write_motion(_motion(1), 3600)
    return file.getvalue()


GOLDEN = bytes.fromhex(
    # magic, version 1, header length 72, msgpack header
    "414b4331 0001 00000048"
    "85 a8636f6465635f6964 b030313233343536373839616263646566 a56d6f64656c a465646765"
    "a86672616d655f7078 cd0200 aa6672616d655f72617465 921901 a66672616d6573 02"
    # reference, 28 bytes
    "02 1c 414b5231 01 00 0000 01 0200 0001 00000002 aa bbcc 3da4f851ba7529cd"
    # two frames: pts delta, motion packet
    "01 08 00 00 00 0000 40 0007"
    "01 09 901c 00 01 0028 40 0107"
    # index: 2 frames, 1 reference, no audio, bytes of each, checksum
    "ff 28 00000002 00000001 00000000 0000000000000015 000000000000001e 0000000000000000 3122bad3"
)


def _repaired(data: bytes) -> bytes:
    """The same bytes with the checksum at the end made right."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "big")


def test_golden_bytes() -> None:
    assert _written(audio=False).hex() == GOLDEN.hex()


def test_round_trip() -> None:
    data = _written()
    akc = read_akc(data)
    assert akc.header == HEADER
    assert akc.records == (_reference(), TimedMotion(0, _motion(0)), TimedMotion(3600, _motion(1)))
    assert akc.references == (_reference(),)
    assert [motion.pts_ticks for motion in akc.motions] == [0, 3600]
    assert akc.audio is not None
    assert akc.audio.stream == AUDIO
    assert akc.audio.packets == (AudioPacket(-1024, 1024, b"sound"), AudioPacket(0, 1024, b"more"))
    assert akc.sizes.total == len(data)
    assert akc.sizes.motion == (2 + 1 + 7) + (2 + 2 + 7)
    assert akc.sizes.references == 2 + len(_reference().pack())


def test_without_audio_and_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "clip.akc"
    path.write_bytes(_written(audio=False))
    for source in (path, str(path)):
        akc = read_akc(source)
        assert akc.audio is None
        assert akc.sizes.audio == 0
        assert len(akc.motions) == 2


def test_slots_are_replaced_in_file_order() -> None:
    file = io.BytesIO()
    with AkcWriter(file, HEADER) as writer:
        writer.write_reference(_reference(3, 0))
        writer.write_motion(_motion(0, 3, 0), 100)
        writer.write_reference(_reference(3, 1))
        with pytest.raises(ValueError, match=r"reference 3\.0"):
            writer.write_motion(_motion(1, 3, 0), 200)
        writer.write_motion(_motion(1, 3, 1), 200)
    akc = read_akc(file.getvalue())
    assert [type(record).__name__ for record in akc.records] == ["ReferencePacket", "TimedMotion"] * 2
    assert [motion.pts_ticks for motion in akc.motions] == [100, 200]


def test_every_truncation() -> None:
    data = _written()
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="akc"):
            read_akc(data[:length])
    with pytest.raises(BitstreamError, match="akc"):
        read_akc(data + b"\0")


def test_every_truncation_behind_a_right_checksum() -> None:
    data = _written()
    for length in range(10, len(data)):
        with pytest.raises(BitstreamError):
            read_akc(_repaired(data[:length]))


def test_every_flipped_bit() -> None:
    data = _written()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            read_akc(bytes(damaged))


@settings(max_examples=400)
@given(
    flips=st.lists(st.tuples(st.integers(0, len(_written()) - 5), st.integers(0, 255)), min_size=1, max_size=3),
)
def test_changed_bytes_behind_a_right_checksum(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(_written())
    for at, value in flips:
        damaged[at] = value
    _parses_or_refuses(_repaired(bytes(damaged)))


@given(noise=st.binary(max_size=120), start=st.integers(0, len(_written()) - 44))
def test_noise_behind_a_sound_start(noise: bytes, start: int) -> None:
    _parses_or_refuses(_repaired(_written()[:start] + noise + bytes(4)))


@given(st.binary(max_size=200))
def test_fuzz(data: bytes) -> None:
    for noise in (data, b"AKC1" + data, b"AKC1\0\1\0\0" + data):
        with pytest.raises(BitstreamError):
            read_akc(noise)


def _parses_or_refuses(data: bytes) -> None:
    try:
        akc = read_akc(data)
    except BitstreamError:
        return
    assert isinstance(akc, AkcFile)
    assert akc.header.frames == len(akc.motions)
    assert akc.sizes.total == len(data)


def test_other_files_are_named_as_such(tmp_path: Path) -> None:
    for name, content in (("text", b"hello, world\n" * 20), ("empty", b""), ("video", b"\0\0\0\x18ftypmp42")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BitstreamError, match=r"no \.akc file"):
            read_akc(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_akc(tmp_path / "nothing")


def test_future_versions_are_named() -> None:
    data = bytearray(_written())
    data[5] = 2
    with pytest.raises(BitstreamError, match="akc version: got 2, expected 1"):
        read_akc(bytes(data))


def test_an_exception_leaves_no_valid_file() -> None:
    def fail() -> None:
        with AkcWriter(file, HEADER) as writer:
            writer.write_reference(_reference())
            writer.write_motion(_motion(0), 0)
            raise KeyboardInterrupt

    file = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(BitstreamError, match="cut short"):
        read_akc(file.getvalue())


def test_writer_refuses() -> None:
    writer = AkcWriter(io.BytesIO(), HEADER)
    with pytest.raises(ValueError, match="must come first"):
        writer.write_motion(_motion(0), 0)
    with pytest.raises(ValueError, match="before the stream"):
        writer.write_audio_packet(AudioPacket(0, 0, b"x"))
    writer.write_audio_stream(AUDIO)
    with pytest.raises(ValueError, match="second stream"):
        writer.write_audio_stream(AUDIO)
    writer.write_reference(_reference())
    writer.write_motion(_motion(0), 50)
    for pts_ticks in (50, 49, 1 << 41):
        with pytest.raises(ValueError, match="frame 1 time"):
            writer.write_motion(_motion(1), pts_ticks)
    with pytest.raises(ValueError, match="frames: got 1, expected 2"):
        writer.close()
    writer.write_motion(_motion(1), 51)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write_reference(_reference())


@pytest.mark.parametrize(
    "change",
    [
        {"codec_id": "0123"},
        {"model": ""},
        {"model": "a\nb"},
        {"frame_px": 4},
        {"frame_rate": (25, 0)},
        {"frame_rate": (25.0, 1)},
        {"frame_rate": (25,)},
        {"frames": 0},
    ],
)
def test_header_refuses(change: dict[str, object]) -> None:
    fields: dict[str, object] = {
        "codec_id": "0" * 16,
        "model": "edge",
        "frame_px": 512,
        "frame_rate": (25, 1),
        "frames": 1,
    }
    with pytest.raises(ValueError, match=next(iter(change))):
        AkcHeader(**(fields | change))  # type: ignore[arg-type]


def test_header_keys_are_exact() -> None:
    packed = HEADER.pack()
    unknown = bytes([packed[0] + 1]) + packed[1:] + b"\xa1x\x01"
    missing = bytes([packed[0] - 1]) + packed[1:-8]
    for data in (unknown, missing):
        with pytest.raises(BitstreamError, match="header keys"):
            AkcHeader.unpack(data)
    with pytest.raises(BitstreamError, match="header frames: got str"):
        AkcHeader.unpack(packed[:-1] + b"\xa1x")


@given(st.binary(max_size=100))
def test_map_fuzz(data: bytes) -> None:
    for parse in (AkcHeader.unpack, AudioStream.unpack):
        with pytest.raises(BitstreamError):
            parse(data)


@given(st.integers(0, (1 << 63) - 1))
def test_varint_round_trip(value: int) -> None:
    data = pack_varint(value)
    assert unpack_varint(b"\xff" + data + b"\xff", 1) == (value, 1 + len(data))
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="varint"):
            unpack_varint(data[:length], 0)


@given(st.integers(-(1 << 62), (1 << 62) - 1))
def test_signed_varint_round_trip(value: int) -> None:
    assert unpack_signed_varint(pack_signed_varint(value), 0)[0] == value


def test_varint_forms() -> None:
    assert pack_varint(300) == b"\xac\x02"
    assert [pack_signed_varint(value) for value in (0, -1, 1, -2)] == [b"\0", b"\1", b"\2", b"\3"]
    for data in (b"\x80\x00", b"\xff" * 10):
        with pytest.raises(BitstreamError, match="varint"):
            unpack_varint(data, 0)
    for value in (-1, 1 << 63):
        with pytest.raises(ValueError, match="varint"):
            pack_varint(value)
