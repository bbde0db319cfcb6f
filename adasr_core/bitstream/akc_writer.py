"""Writing the file form .akc, see `adasr_core.bitstream.akc`."""

from __future__ import annotations

import zlib
from itertools import pairwise
from types import TracebackType
from typing import BinaryIO, Self

from adasr_core.bitstream.akc import (
    AKC_MAGIC,
    AKC_VERSION,
    AUDIO_PACKET_RECORD,
    AUDIO_STREAM_RECORD,
    CRC_BYTES,
    INDEX,
    INDEX_RECORD,
    MOTION_RECORD,
    PREFIX,
    REFERENCE_RECORD,
    TIMED_MOTION_RECORD,
    Tally,
)
from adasr_core.bitstream.akc_records import (
    AkcHeader,
    AudioPacket,
    AudioStream,
    TimedMotion,
    pack_signed_varint,
    pack_varint,
)
from adasr_core.bitstream.motion_message import MotionMessage
from adasr_core.bitstream.packets import ReferencePacket


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
        self._tally = Tally(header.frame_rate)
        packed = header.pack()
        self._write(PREFIX.pack(AKC_MAGIC, AKC_VERSION, len(packed)) + packed)

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
        self._tally.reference_bytes += self._record(REFERENCE_RECORD, packet.pack())

    def write_motion(self, message: MotionMessage, pts_ticks: tuple[int, ...]) -> None:
        """Add the next frames.

        pts_ticks: presentation time of each frame of the message, oldest first, in 1/90000 s, 0 or more, rising.

        Raises:
            ValueError: a time does not rise, or the message names a reference that was not written or was replaced.
        """
        self._check_open()
        motion = TimedMotion(pts_ticks, message)
        before = self._tally.pts_ticks
        regular = pts_ticks == self._tally.regular_ticks(len(pts_ticks))
        self._tally.add_motion(motion)
        times = b""
        if not regular:
            times = b"".join(pack_varint(now - then) for then, now in pairwise((before, *pts_ticks)))
        kind = (MOTION_RECORD if regular else TIMED_MOTION_RECORD) + len(pts_ticks) - 1
        self._tally.motion_bytes += self._record(kind, times + message.pack())

    def write_audio_stream(self, stream: AudioStream) -> None:
        """Describe the audio, once, before its first packet. Raises ValueError the second time."""
        self._check_open()
        self._tally.add_audio_stream()
        self._tally.audio_bytes += self._record(AUDIO_STREAM_RECORD, stream.pack())

    def write_audio_packet(self, packet: AudioPacket) -> None:
        """Add an audio packet. Raises ValueError before `write_audio_stream`."""
        self._check_open()
        before = self._tally.audio_pts
        self._tally.add_audio_packet(packet)
        payload = pack_signed_varint(packet.pts - before) + pack_varint(packet.duration) + packet.data
        self._tally.audio_bytes += self._record(AUDIO_PACKET_RECORD, payload)

    def close(self) -> None:
        """Write the index; nothing can follow.

        Raises:
            ValueError: the number of frames is not the header's, or the writer was closed before.
        """
        self._check_open()
        self._tally.check_frames(self._header.frames)
        index = INDEX.pack(*self._tally.index(), 0)[:-CRC_BYTES]
        self._write(bytes((INDEX_RECORD, INDEX.size)) + index)
        self._write(self._crc.to_bytes(CRC_BYTES, "big"))
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
