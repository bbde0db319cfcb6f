"""Reading the file form .akc, see `adasr_core.bitstream.akc`."""

from __future__ import annotations

import zlib
from pathlib import Path

from adasr_core.bitstream.akc import (
    AKC_MAGIC,
    AKC_VERSION,
    AUDIO_PACKET_RECORD,
    AUDIO_STREAM_RECORD,
    CRC_BYTES,
    INDEX,
    INDEX_RECORD,
    MAX_AKC_BYTES,
    MOTION_RECORD,
    PREFIX,
    REFERENCE_RECORD,
    TIMED_MOTION_RECORD,
    AkcFile,
    AkcSizes,
    AudioTrack,
    Tally,
)
from adasr_core.bitstream.akc_records import (
    MAX_AUDIO_PACKET_BYTES,
    MAX_HEADER_BYTES,
    AkcHeader,
    AudioPacket,
    AudioStream,
    TimedMotion,
    unpack_signed_varint,
    unpack_varint,
)
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion_message import MAX_MESSAGE_FRAMES, MotionMessage
from adasr_core.bitstream.packets import MAX_REFERENCE_PACKET_BYTES, ReferencePacket

_INDEX_RECORD_BYTES = 2 + INDEX.size
_MAX_RECORD_BYTES = max(MAX_REFERENCE_PACKET_BYTES, MAX_AUDIO_PACKET_BYTES + 32)
_MAX_RECORDS = 4_000_000
"""Records of a file at most: a day of frames and sound. A record of 6 bytes costs a reader 230."""


def read_akc(source: str | Path | bytes) -> AkcFile:
    """Read and check a whole .akc file, from a path or from its bytes.

    Packets are unpacked; their bodies and pictures are not decoded.

    Raises:
        BitstreamError: this is no .akc file, one of another version, cut short, or damaged.
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        data = source
    else:
        size = Path(source).stat().st_size
        if size > MAX_AKC_BYTES:
            raise BitstreamError(f"akc file: got {size} bytes, expected at most {MAX_AKC_BYTES}")
        data = Path(source).read_bytes()
    header, start = _read_header(data)
    if len(data) < start + _INDEX_RECORD_BYTES or zlib.crc32(memoryview(data)[:-CRC_BYTES]) != int.from_bytes(
        data[-CRC_BYTES:], "big"
    ):
        raise BitstreamError("akc file: cut short or damaged (its checksum does not match); get the file again")
    try:
        return _read_records(data, header, start)
    except BitstreamError as error:
        raise BitstreamError(f"akc {error}") from error
    except ValueError as error:
        raise BitstreamError(f"akc {error}") from error


def _read_header(data: bytes) -> tuple[AkcHeader, int]:
    """The header and the offset behind it."""
    if data[: len(AKC_MAGIC)] != AKC_MAGIC:
        raise BitstreamError(f"akc magic: got {data[: len(AKC_MAGIC)]!r}, expected {AKC_MAGIC!r}; this is no .akc file")
    if len(data) < PREFIX.size:
        raise BitstreamError(f"akc file: got {len(data)} bytes, expected a header; the file is cut short")
    _, version, header_bytes = PREFIX.unpack_from(data)
    if version != AKC_VERSION:
        raise BitstreamError(f"akc version: got {version}, expected {AKC_VERSION}; use the release that wrote it")
    start = PREFIX.size + header_bytes
    if header_bytes > MAX_HEADER_BYTES or start > len(data):
        largest = min(MAX_HEADER_BYTES, len(data) - PREFIX.size)
        raise BitstreamError(
            f"akc header length: got {header_bytes} bytes, expected at most {largest}; the file is damaged"
        )
    return AkcHeader.unpack(data[PREFIX.size : start]), start


def _read_records(data: bytes, header: AkcHeader, start: int) -> AkcFile:
    """Everything behind the header. Raises ValueError (BitstreamError or a broken law of order)."""
    tally = Tally(header.frame_rate)
    records: list[ReferencePacket | TimedMotion] = []
    audio_stream: AudioStream | None = None
    audio_packets: list[AudioPacket] = []
    offset = start
    while offset < len(data) and data[offset] != INDEX_RECORD:
        kind, record_start = data[offset], offset
        if len(records) + len(audio_packets) >= _MAX_RECORDS or tally.frames > header.frames:
            raise BitstreamError(
                f"record at byte {record_start}: got more than {_MAX_RECORDS} records, or more than the header's "
                f"{header.frames} frames; the file is damaged"
            )
        length, offset = unpack_varint(data, offset + 1)
        if length > _MAX_RECORD_BYTES or offset + length > len(data):
            raise BitstreamError(
                f"record length at byte {record_start}: got {length}, which is beyond the file or a limit"
            )
        payload = data[offset : offset + length]
        offset += length
        if kind & ~(MAX_MESSAGE_FRAMES - 1) in (MOTION_RECORD, TIMED_MOTION_RECORD):
            motion = _read_motion(kind, payload, tally)
            tally.add_motion(motion)
            tally.motion_bytes += offset - record_start
            records.append(motion)
        elif kind == REFERENCE_RECORD:
            reference = ReferencePacket.unpack(payload)
            tally.add_reference(reference)
            tally.reference_bytes += offset - record_start
            records.append(reference)
        elif kind == AUDIO_STREAM_RECORD:
            audio_stream = AudioStream.unpack(payload)
            tally.add_audio_stream()
            tally.audio_bytes += offset - record_start
        elif kind == AUDIO_PACKET_RECORD:
            pts_delta, duration_start = unpack_signed_varint(payload, 0)
            duration, data_start = unpack_varint(payload, duration_start)
            audio = AudioPacket(tally.audio_pts + pts_delta, duration, payload[data_start:])
            tally.add_audio_packet(audio)
            tally.audio_bytes += offset - record_start
            audio_packets.append(audio)
        else:
            raise BitstreamError(
                f"record type at byte {record_start}: got {kind}, expected 2..4, 16..23, 32..39 or 255; update adasr"
            )
    if len(data) - offset != _INDEX_RECORD_BYTES or data[offset + 1] != INDEX.size:
        raise BitstreamError(f"index at byte {offset}: expected {_INDEX_RECORD_BYTES} bytes, the last of the file")
    if INDEX.unpack_from(data, offset + 2)[:-1] != tally.index():
        raise BitstreamError("index: its counts are not those of the records")
    tally.check_frames(header.frames)
    sizes = AkcSizes(
        header=start,
        references=tally.reference_bytes,
        motion=tally.motion_bytes,
        audio=tally.audio_bytes,
        index=_INDEX_RECORD_BYTES,
    )
    audio_track = AudioTrack(audio_stream, tuple(audio_packets)) if audio_stream is not None else None
    return AkcFile(header, tuple(records), audio_track, sizes)


def _read_motion(kind: int, payload: bytes, tally: Tally) -> TimedMotion:
    """A motion record. Raises BitstreamError."""
    frames = kind % MAX_MESSAGE_FRAMES + 1
    regular = tally.regular_ticks(frames)
    if kind < TIMED_MOTION_RECORD:
        return TimedMotion(regular, MotionMessage.unpack(payload))
    times = [tally.pts_ticks]
    start = 0
    for _ in range(frames):
        delta, start = unpack_varint(payload, start)
        times.append(times[-1] + delta)
    if tuple(times[1:]) == regular:
        raise BitstreamError(f"motion record at frame {tally.frames}: times that need none; the file is damaged")
    return TimedMotion(tuple(times[1:]), MotionMessage.unpack(payload[start:]))
