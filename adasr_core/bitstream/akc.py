"""The file form .akc: the packets of a call with a header and a closing index.

::

    "AKC3" | version u16 | header_bytes u32 | header (msgpack) | records ... | index record

    record:  type u8 | length varint | payload
      2  reference   reference packet; it comes before the first motion message that names it
      3  audio       audio stream (msgpack); at most one, before the first audio packet
      4  audio data  pts delta signed varint (since the packet before, the first one since 0) | duration varint | data
    16..23  motion   motion message of 1 to 8 frames at the header's frame rate
    32..39  motion   for each of 1 to 8 frames: pts delta varint (1/90000 s since the frame before, the first one
                     since 0) | motion message
    255  index       frames, references, audio packets u32 | motion, reference, audio bytes u64 | crc32 u32

At the header's frame rate: the n-th frame after the last frame with a time of its own, A (or with n counted from 0 and
A = 0 at the start), is at A + floor(n * 90000 * denominator / numerator).

Big endian throughout. The CRC covers every byte of the file before it, and nothing follows: each truncation and each
changed bit is found. The index's byte counts include the records' type and length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adasr_core.bitstream.akc_records import (
    MAX_TICKS,
    TICKS_PER_SECOND,
    AkcHeader,
    AudioPacket,
    AudioStream,
    TimedMotion,
)
from adasr_core.bitstream.packets import ReferencePacket

AKC_MAGIC = b"AKC3"
AKC_VERSION = 3
MAX_AKC_BYTES = 1 << 30

PREFIX = struct.Struct(">4sHI")
INDEX = struct.Struct(">IIIQQQI")
CRC_BYTES = 4
REFERENCE_RECORD, AUDIO_STREAM_RECORD, AUDIO_PACKET_RECORD, INDEX_RECORD = 2, 3, 4, 0xFF
MOTION_RECORD, TIMED_MOTION_RECORD = 16, 32
"""Plus the number of frames, less one."""


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

    header: see `AkcHeader`. records: references and motion messages in file order; every message names a reference that
    came before it and was not replaced since. audio: None when the file has none. sizes: bytes by kind.
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
        """All motion messages in order."""
        return tuple(record for record in self.records if isinstance(record, TimedMotion))

    @property
    def pts_ticks(self) -> tuple[int, ...]:
        """Presentation times of all frames in order, 1/90000 s."""
        return tuple(ticks for motion in self.motions for ticks in motion.pts_ticks)


class Tally:
    """Counts what goes by, and holds the laws of order that writer and reader share."""

    __slots__ = ("audio_bytes", "audio_packets", "audio_pts", "frames", "generations", "has_audio", "motion_bytes",
                 "pts_ticks", "rate", "reference_bytes", "references", "since", "since_ticks")  # fmt: skip

    def __init__(self, rate: tuple[int, int]) -> None:
        self.rate = rate
        self.since = self.since_ticks = 0  # frames after the last one with a time of its own, and that time
        self.frames = self.references = self.audio_packets = 0
        self.motion_bytes = self.reference_bytes = self.audio_bytes = 0
        self.generations: dict[int, int] = {}
        self.pts_ticks = 0
        self.audio_pts = 0
        self.has_audio = False

    def add_reference(self, packet: ReferencePacket) -> None:
        """Count a reference; it replaces what its slot held."""
        self.generations[packet.slot] = packet.generation
        self.references += 1

    def add_motion(self, motion: TimedMotion) -> None:
        """Count the frames of a message. Raises ValueError, and counts nothing, where a law of order is broken."""
        message = motion.message
        if self.generations.get(message.slot) != message.generation:
            raise ValueError(
                f"frame {self.frames}: names reference {message.slot}.{message.generation}, which is not there at this "
                "point; the reference must come first"
            )
        regular = motion.pts_ticks == self.regular_ticks(len(motion.pts_ticks))
        lowest = self.pts_ticks + 1 if self.frames else 0
        # Nothing is counted before all of it is known to be right: a writer goes on after a refusal.
        for number, ticks in enumerate(motion.pts_ticks, start=self.frames):
            if not lowest <= ticks <= MAX_TICKS:
                raise ValueError(f"frame {number} time: got {ticks} ticks, expected {lowest}..{MAX_TICKS}")
            lowest = ticks + 1
        self.pts_ticks = motion.pts_ticks[-1]
        self.frames += len(motion.pts_ticks)
        if regular:
            self.since += len(motion.pts_ticks)
        else:
            self.since, self.since_ticks = 1, self.pts_ticks

    def regular_ticks(self, frames: int) -> tuple[int, ...]:
        """Times of the next frames at the header's rate."""
        numerator, denominator = self.rate
        return tuple(
            self.since_ticks + number * TICKS_PER_SECOND * denominator // numerator
            for number in range(self.since, self.since + frames)
        )

    def add_audio_stream(self) -> None:
        """Note that the audio is described. Raises ValueError the second time."""
        if self.has_audio:
            raise ValueError("audio: got a second stream, expected at most one")
        self.has_audio = True

    def add_audio_packet(self, packet: AudioPacket) -> None:
        """Count an audio packet. Raises ValueError before `add_audio_stream`."""
        if not self.has_audio:
            raise ValueError("audio: got a packet before the stream's description")
        self.audio_pts = packet.pts
        self.audio_packets += 1

    def check_frames(self, expected: int) -> None:
        """Raise ValueError unless so many frames were counted."""
        if self.frames != expected:
            raise ValueError(f"frames: got {self.frames}, expected {expected} (from the header)")

    def index(self) -> tuple[int, ...]:
        """All fields of the index but the checksum."""
        return (
            self.frames,
            self.references,
            self.audio_packets,
            self.motion_bytes,
            self.reference_bytes,
            self.audio_bytes,
        )
