"""The file form .akc: the packets of a call with a header and a closing index.

::

    "AKC1" | version u16 | header_bytes u32 | header (msgpack) | records ... | index record

    record:  type u8 | length varint | payload
      1  motion      pts delta varint (1/90000 s since the frame before, the first one since 0) | motion packet
      2  reference   reference packet; it comes before the first motion packet that names it
      3  audio       audio stream (msgpack); at most one, before the first audio packet
      4  audio data  pts delta signed varint (since the packet before, the first one since 0) | duration varint | data
    255  index       frames, references, audio packets u32 | motion, reference, audio bytes u64 | crc32 u32

Big endian throughout. The CRC covers every byte of the file before it, and nothing follows: each truncation and each
changed bit is found. The index's byte counts include the records' type and length.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from adasr_core.bitstream.akc_records import (
    MAX_AUDIO_PACKET_BYTES,
    MAX_HEADER_BYTES,
    MAX_TICKS,
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
from adasr_core.bitstream.packets import MAX_REFERENCE_PACKET_BYTES, MotionPacket, ReferencePacket

AKC_MAGIC = b"AKC1"
AKC_VERSION = 1
MAX_AKC_BYTES = 1 << 30

_PREFIX = struct.Struct(">4sHI")
_INDEX = struct.Struct(">IIIQQQI")
_CRC_BYTES = 4
_MOTION, _REFERENCE, _AUDIO_STREAM, _AUDIO_PACKET, _INDEX_RECORD = 1, 2, 3, 4, 0xFF
_INDEX_RECORD_BYTES = 2 + _INDEX.size
_MAX_RECORD_BYTES = max(MAX_REFERENCE_PACKET_BYTES, MAX_AUDIO_PACKET_BYTES + 32)


@dataclass(frozen=True, slots=True)
class AkcSizes:
    """Bytes of a file by kind, record heads included; they add up to `total`."""

    header: int
    references: int
    motion: int
    audio: int
    index: int

    @property
    def total(self) -> int:
        """The file's length."""
        return self.header + self.references + self.motion + self.audio + self.index


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The audio of a file: its description and its packets in file order."""

    stream: AudioStream
    packets: tuple[AudioPacket, ...]


@dataclass(frozen=True, slots=True)
class AkcFile:
    """A whole .akc file, checked.

    header: see `AkcHeader`. records: references and frames in file order; every frame names a reference that came
    before it and was not replaced since. audio: None when the file has none. sizes: bytes by kind.
    """

    header: AkcHeader
    records: tuple[ReferencePacket | TimedMotion, ...]
    audio: AudioTrack | None
    sizes: AkcSizes

    @property
    def references(self) -> tuple[ReferencePacket, ...]:
        """All references in file order."""
        return tuple(record for record in self.records if isinstance(record, ReferencePacket))

    @property
    def motions(self) -> tuple[TimedMotion, ...]:
        """All frames in order."""
        return tuple(record for record in self.records if isinstance(record, TimedMotion))


class _Tally:
    """Counts what goes by, and holds the laws of order that writer and reader share."""

    __slots__ = ("audio_bytes", "audio_packets", "audio_pts", "frames", "generations", "has_audio", "motion_bytes",
                 "pts_ticks", "reference_bytes", "references")  # fmt: skip

    def __init__(self) -> None:
        self.frames = self.references = self.audio_packets = 0
        self.motion_bytes = self.reference_bytes = self.audio_bytes = 0
        self.generations: dict[int, int] = {}
        self.pts_ticks = 0
        self.audio_pts = 0
        self.has_audio = False

    def add_reference(self, packet: ReferencePacket) -> None:
        self.generations[packet.slot] = packet.generation
        self.references += 1

    def add_motion(self, motion: TimedMotion) -> None:
        packet = motion.packet
        if self.generations.get(packet.slot) != packet.generation:
            raise ValueError(
                f"frame {self.frames}: names reference {packet.slot}.{packet.generation}, which is not there at this "
                "point; the reference must come first"
            )
        lowest = self.pts_ticks + 1 if self.frames else 0
        if not lowest <= motion.pts_ticks <= MAX_TICKS:
            raise ValueError(f"frame {self.frames} time: got {motion.pts_ticks} ticks, expected {lowest}..{MAX_TICKS}")
        self.pts_ticks = motion.pts_ticks
        self.frames += 1

    def add_audio_stream(self) -> None:
        if self.has_audio:
            raise ValueError("audio: got a second stream, expected at most one")
        self.has_audio = True

    def add_audio_packet(self, packet: AudioPacket) -> None:
        if not self.has_audio:
            raise ValueError("audio: got a packet before the stream's description")
        self.audio_pts = packet.pts
        self.audio_packets += 1

    def check_frames(self, expected: int) -> None:
        if self.frames != expected:
            raise ValueError(f"frames: got {self.frames}, expected {expected} (from the header)")

    def index(self) -> tuple[int, ...]:
        return (
            self.frames,
            self.references,
            self.audio_packets,
            self.motion_bytes,
            self.reference_bytes,
            self.audio_bytes,
        )


class AkcWriter:
    """Writes an .akc file front to back into a binary file object, which stays open.

    Use it as a context manager: leaving it without an exception writes the index. After an exception there is no index,
    and what was written is no valid file.
    """

    def __init__(self, file: BinaryIO, header: AkcHeader) -> None:
        """Write the header. Raises OSError when the file cannot be written."""
        self._file = file
        self._header = header
        self._crc = 0
        self._closed = False
        self._tally = _Tally()
        packed = header.pack()
        self._write(_PREFIX.pack(AKC_MAGIC, AKC_VERSION, len(packed)) + packed)

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the index unless an exception is on its way."""
        if kind is None:
            self.close()

    def write_reference(self, packet: ReferencePacket) -> None:
        """Add a reference; it replaces what its slot held. Raises ValueError after `close`."""
        self._check_open()
        self._tally.add_reference(packet)
        self._tally.reference_bytes += self._record(_REFERENCE, packet.pack())

    def write_motion(self, packet: MotionPacket, pts_ticks: int) -> None:
        """Add the next frame.

        pts_ticks: presentation time in 1/90000 s, 0 or more, above that of the frame before.

        Raises:
            ValueError: the time does not rise, or the packet names a reference that was not written or was replaced.
        """
        self._check_open()
        before = self._tally.pts_ticks
        self._tally.add_motion(TimedMotion(pts_ticks, packet))
        self._tally.motion_bytes += self._record(_MOTION, pack_varint(pts_ticks - before) + packet.pack())

    def write_audio_stream(self, stream: AudioStream) -> None:
        """Describe the audio, once, before its first packet. Raises ValueError the second time."""
        self._check_open()
        self._tally.add_audio_stream()
        self._tally.audio_bytes += self._record(_AUDIO_STREAM, stream.pack())

    def write_audio_packet(self, packet: AudioPacket) -> None:
        """Add an audio packet. Raises ValueError before `write_audio_stream`."""
        self._check_open()
        before = self._tally.audio_pts
        self._tally.add_audio_packet(packet)
        payload = pack_signed_varint(packet.pts - before) + pack_varint(packet.duration) + packet.data
        self._tally.audio_bytes += self._record(_AUDIO_PACKET, payload)

    def close(self) -> None:
        """Write the index; nothing can follow.

        Raises:
            ValueError: the number of frames is not the header's, or the writer was closed before.
        """
        self._check_open()
        self._tally.check_frames(self._header.frames)
        index = _INDEX.pack(*self._tally.index(), 0)[:-_CRC_BYTES]
        self._write(bytes((_INDEX_RECORD, _INDEX.size)) + index)
        self._write(self._crc.to_bytes(_CRC_BYTES, "big"))
        self._closed = True

    def _record(self, kind: int, payload: bytes) -> int:
        """Write one record and return its length."""
        record = bytes((kind,)) + pack_varint(len(payload)) + payload
        self._write(record)
        return len(record)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._crc = zlib.crc32(data, self._crc)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("akc writer: closed; open another one")


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
    if len(data) < start + _INDEX_RECORD_BYTES or zlib.crc32(memoryview(data)[:-_CRC_BYTES]) != int.from_bytes(
        data[-_CRC_BYTES:], "big"
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
    if len(data) < _PREFIX.size:
        raise BitstreamError(f"akc file: got {len(data)} bytes, expected a header; the file is cut short")
    _, version, header_bytes = _PREFIX.unpack_from(data)
    if version != AKC_VERSION:
        raise BitstreamError(f"akc version: got {version}, expected {AKC_VERSION}; use the release that wrote it")
    start = _PREFIX.size + header_bytes
    if header_bytes > MAX_HEADER_BYTES or start > len(data):
        largest = min(MAX_HEADER_BYTES, len(data) - _PREFIX.size)
        raise BitstreamError(
            f"akc header length: got {header_bytes} bytes, expected at most {largest}; the file is damaged"
        )
    return AkcHeader.unpack(data[_PREFIX.size : start]), start


def _read_records(data: bytes, header: AkcHeader, start: int) -> AkcFile:
    """Everything behind the header. Raises ValueError (BitstreamError or a broken law of order)."""
    tally = _Tally()
    records: list[ReferencePacket | TimedMotion] = []
    audio_stream: AudioStream | None = None
    audio_packets: list[AudioPacket] = []
    offset = start
    while offset < len(data) and data[offset] != _INDEX_RECORD:
        kind, record_start = data[offset], offset
        length, offset = unpack_varint(data, offset + 1)
        if length > _MAX_RECORD_BYTES or offset + length > len(data):
            raise BitstreamError(
                f"record length at byte {record_start}: got {length}, which is beyond the file or a limit"
            )
        payload = data[offset : offset + length]
        offset += length
        if kind == _MOTION:
            delta, packet_start = unpack_varint(payload, 0)
            motion = TimedMotion(tally.pts_ticks + delta, MotionPacket.unpack(payload[packet_start:]))
            tally.add_motion(motion)
            tally.motion_bytes += offset - record_start
            records.append(motion)
        elif kind == _REFERENCE:
            reference = ReferencePacket.unpack(payload)
            tally.add_reference(reference)
            tally.reference_bytes += offset - record_start
            records.append(reference)
        elif kind == _AUDIO_STREAM:
            audio_stream = AudioStream.unpack(payload)
            tally.add_audio_stream()
            tally.audio_bytes += offset - record_start
        elif kind == _AUDIO_PACKET:
            pts_delta, duration_start = unpack_signed_varint(payload, 0)
            duration, data_start = unpack_varint(payload, duration_start)
            audio = AudioPacket(tally.audio_pts + pts_delta, duration, payload[data_start:])
            tally.add_audio_packet(audio)
            tally.audio_bytes += offset - record_start
            audio_packets.append(audio)
        else:
            raise BitstreamError(f"record type at byte {record_start}: got {kind}, expected 1..4 or 255; update adasr")
    if len(data) - offset != _INDEX_RECORD_BYTES or data[offset + 1] != _INDEX.size:
        raise BitstreamError(f"index at byte {offset}: expected {_INDEX_RECORD_BYTES} bytes, the last of the file")
    if _INDEX.unpack_from(data, offset + 2)[:-1] != tally.index():
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
