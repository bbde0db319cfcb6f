"""What a receiver tells the sender about the motion that it got.

Big endian, 12 bytes::

    0               1                               5               7               9      10      12
    +---------------+-------------------------------+---------------+---------------+-------+-------+
    | sequence u8   |         received u32          |  time_ms u16  | transit_ms u16|held u8|lost u16|
    +---------------+-------------------------------+---------------+---------------+-------+-------+

It says which frames the sender may code later ones against (a base must be a frame that the receiver has), how many
were lost, and, by the echoed capture time, how long a frame travels:

    round trip          = sender's clock now - time_ms - held_ms
    change of the delay = transit_ms now - transit_ms before      (the clocks' unknown offset drops out)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.errors import BitstreamError

FEEDBACK_BYTES = 12
"""Every feedback has this size."""

MASK_FRAMES = 32
"""So many frames before the newest one are told of."""

MAX_HELD_MS = 0xFF
"""What `held_ms` says at most: this or more."""

_FEEDBACK = struct.Struct(">BIHHBH")


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionFeedback:
    """State of a receiver: what it decoded, and how long the newest frame took to come.

    sequence: 0..255, the newest frame that was decoded; no repeat.
    received: 32 bits; bit i is set when frame sequence - 1 - i was decoded as it was first sent. A repeat does not
        count: it is coded otherwise, and what the line lost stays lost.
    time_ms: 0..65535, capture time of that newest frame, as its message said it.
    transit_ms: 0..65535, the receiver's clock at its arrival minus time_ms, modulo 65536: only
        differences mean anything.
    held_ms: 0..255, from its arrival to this feedback; 255 means that long or longer.
    lost: 0..65535, frames given up as lost since the receiver began, modulo 65536.
    """

    sequence: int
    received: int
    time_ms: int
    transit_ms: int
    held_ms: int
    lost: int

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError."""
        require("sequence", self.sequence, 0, 0xFF)
        require("received", self.received, 0, (1 << MASK_FRAMES) - 1)
        require("time_ms", self.time_ms, 0, 0xFFFF)
        require("transit_ms", self.transit_ms, 0, 0xFFFF)
        require("held_ms", self.held_ms, 0, MAX_HELD_MS)
        require("lost", self.lost, 0, 0xFFFF)

    def pack(self) -> bytes:
        """The feedback's 12 bytes."""
        return _FEEDBACK.pack(self.sequence, self.received, self.time_ms, self.transit_ms, self.held_ms, self.lost)

    @classmethod
    def unpack(cls, data: bytes) -> MotionFeedback:
        """Inverse of `pack`. Every 12 bytes are a feedback; whether it can be true, the sender must judge.

        Raises:
            BitstreamError: there are not exactly 12 bytes.
        """
        if len(data) != FEEDBACK_BYTES:
            raise BitstreamError(
                f"motion feedback length: got {len(data)} bytes, expected {FEEDBACK_BYTES}; drop the feedback"
            )
        sequence, received, time_ms, transit_ms, held_ms, lost = _FEEDBACK.unpack(data)
        return cls(
            sequence=sequence,
            received=received,
            time_ms=time_ms,
            transit_ms=transit_ms,
            held_ms=held_ms,
            lost=lost,
        )

    def sequences(self) -> tuple[int, ...]:
        """Sequence numbers (0..255) of all frames that it says were decoded, newest first: 1 to 33."""
        older = (self.sequence - 1 - bit for bit in range(MASK_FRAMES) if self.received >> bit & 1)
        return (self.sequence, *(sequence & 0xFF for sequence in older))
