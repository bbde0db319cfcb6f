"""Reference pictures coded against earlier ones: a slow AV1 stream, one unit a reference.

    picture 0 --> key unit --+   picture 1 --> unit --+   picture 2 --> unit
                             +------ predicted -------+------ predicted ----->

A **chain** begins with a key unit (index 0); every later unit is predicted from the ones before it, so a decoder needs
all of them in order. Its units travel over acknowledged transport; when one is given up, a new chain begins. Form of a
picture field (`ReferencePacket.picture_codec` = 2)::

    chain u8 | index u8 | AV1 units (OBUs)

index 0: one sequence header and one frame. index 1..255: one frame; after 255 comes 1 again. No temporal delimiter, no
other OBU, no extension: the size of what a decoder allocates is in the one sequence header, which is read before
anything is decoded (AV1 specification 5.5.1). chain counts modulo 256.

SVT-AV1 codes in real time without delay (pred-struct=1, lookahead=0). Pictures now and then have one quality for all
units (use-fixed-qindex-offsets): its own choice is a pyramid, which would blur two of three. Pictures at even
intervals, anchors, take the pyramid: a fifth fewer bytes for the same mean. dav1d decodes.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.av1_units import frame_unit_size, strip_delimiter
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MAX_FRAME_PX, MAX_PICTURE_BYTES
from adasr_core.thread_scheduling import finish_within, ordinary_scheduling

Image = npt.NDArray[np.uint8]

_HEAD_BYTES = 2
_LAST_INDEX = 255
_LONGEST_S = 3.0
_LEAST_PATIENCE_S = 0.6
_PATIENCE = 6.0
_UNITS_TO_JUDGE = 4
_MIN_FRAME_PX = 64
_LOW_DELAY = "pred-struct=1:lookahead=0:keyint=-1:scd=0"


@dataclass(frozen=True, kw_only=True, slots=True)
class Av1ChainConfig:
    """How a chain of references is coded."""

    crf: float = 48.0
    """Quality, 1 (best) to 70, in quarters. Steady: 44 gives about 33 dB, 50 about 31 dB, 58 about 29 dB on talking
    heads."""
    steady: bool = True
    """One quality for all units; else the encoder's pyramid, for units at even intervals."""
    key_offset: int = -16
    """Steady: quantiser index of the key unit against the others', -64 (better) to 0: the first picture of a call."""
    preset: int = 8
    """The encoder's speed, 4 (slow) to 12."""
    threads: int = 1
    """Cores that the encoder may use, 1 to 4."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name, lowest, highest in (("crf", 1, 70), ("key_offset", -64, 0), ("preset", 4, 12), ("threads", 1, 4)):
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name}: got {value}, expected {lowest}..{highest}")


class EncoderStalledError(OSError):
    """The encoder hangs: leave it, and begin a new chain with another one."""


class Av1ChainEncoder:
    """Codes the pictures of one chain; one unit comes out for each, at once. A new chain needs a new encoder."""

    def __init__(self, chain: int, frame_px: int, config: Av1ChainConfig | None = None) -> None:
        """Open an encoder.

        chain: 0..255, its number. frame_px: side of the pictures, even, 64..2048.

        Raises:
            ValueError: chain or frame_px out of range.
            OSError: this build of FFmpeg has no SVT-AV1, or it refuses the settings.
        """
        if not 0 <= chain <= 0xFF:
            raise ValueError(f"chain: got {chain}, expected 0..255")
        if frame_px % 2 or not _MIN_FRAME_PX <= frame_px <= MAX_FRAME_PX:
            raise ValueError(f"frame_px: got {frame_px}, expected an even number, {_MIN_FRAME_PX}..{MAX_FRAME_PX}")
        config = config if config is not None else Av1ChainConfig()
        self.chain = chain
        self._frame_px = frame_px
        self._index = self._units = 0
        self._slowest_s = 0.0
        # The library writes a page about itself to stderr for every encoder; 0 is "fatal errors alone".
        os.environ.setdefault("SVT_LOG", "0")
        parameters = f"crf={config.crf:g}:{_LOW_DELAY}:lp={config.threads}"
        if config.steady:
            parameters += f":use-fixed-qindex-offsets=1:key-frame-qindex-offset={config.key_offset}"
        try:
            context = av.CodecContext.create("libsvtav1", "w")
            context.width = context.height = frame_px
            context.pix_fmt = "yuv420p"
            context.time_base = Fraction(1, 25)
            context.framerate = Fraction(25, 1)
            context.options = {
                "preset": str(config.preset),
                "svtav1-params": parameters,
            }
            with ordinary_scheduling():
                context.open()
        except (av.FFmpegError, ValueError) as error:
            raise OSError(f"SVT-AV1 cannot be opened ({error}); install PyAV's own wheel, which has it") from error
        self._context = context

    @property
    def units(self) -> int:
        """Units coded so far."""
        return self._units

    def encode(self, rgb: Image) -> bytes:
        """Code the next picture of the chain: the picture field of a reference packet.

        rgb: uint8 [frame_px, frame_px, 3].

        Raises:
            ValueError: another shape or type, or the unit is above 262144 bytes.
            EncoderStalledError: the encoder gave no answer in time, 3 s at most; begin a new chain.
            OSError: the encoder failed; begin a new chain.
        """
        side = self._frame_px
        if rgb.dtype != np.uint8 or rgb.shape != (side, side, 3):
            raise ValueError(f"picture: got {rgb.dtype} {rgb.shape}, expected uint8 {(side, side, 3)}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv420p")
        frame.pts = self._units
        try:
            packets, seconds = finish_within(lambda: self._context.encode(frame), self._patience_s())
        except av.FFmpegError as error:
            raise OSError(f"SVT-AV1 failed ({error}); begin a new chain") from error
        except TimeoutError as error:
            # Closing it would wait as well: it is never let go.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._context))
            raise EncoderStalledError(f"SVT-AV1 gave {error}; begin a new chain") from error
        if self._units:
            self._slowest_s = max(self._slowest_s, seconds)
        if len(packets) != 1:
            raise OSError(f"SVT-AV1 gave {len(packets)} packets for a picture, expected 1; begin a new chain")
        unit = strip_delimiter(bytes(packets[0]))
        if _HEAD_BYTES + len(unit) > MAX_PICTURE_BYTES:
            raise ValueError(f"picture: got {len(unit)} bytes, expected at most {MAX_PICTURE_BYTES}; raise crf")
        try:
            frame_unit_size(unit, key=self._units == 0)
        except BitstreamError as error:
            raise OSError(f"SVT-AV1 writes a form that decoders refuse ({error}); install PyAV's own wheel") from error
        data = bytes((self.chain, self._index)) + unit
        self._units += 1
        self._index = _index_after(self._index)
        return data

    def _patience_s(self) -> float:
        """How long a unit may take. A call stands still meanwhile, and what has hung does not come back."""
        if self._units < _UNITS_TO_JUDGE:
            return _LONGEST_S
        return min(_LONGEST_S, max(_LEAST_PATIENCE_S, _PATIENCE * self._slowest_s))


class Av1ChainDecoder:
    """Decodes chains, unit by unit. `BitstreamError` means: ask for a new chain; until its key unit all is refused."""

    def __init__(self, frame_px: int) -> None:
        """Expect pictures of frame_px x frame_px. Nothing is opened before the first key unit."""
        self._frame_px = frame_px
        self._context: av.VideoCodecContext | None = None
        self._chain = 0
        self._next = 0

    @property
    def expected(self) -> tuple[int, int] | None:
        """Chain and index of the unit that would go on; None while only a key unit is understood."""
        return None if self._context is None else (self._chain, self._next)

    def decode(self, data: bytes) -> Image:
        """The picture of one unit: uint8 [frame_px, frame_px, 3] RGB.

        A key unit begins a chain at any time. A unit out of order leaves the chain as it was, so that the right one
        may still come; one that fails to decode ends it.

        Raises:
            BitstreamError: a length, the order, the form or the size is wrong, or the data cannot be decoded.
        """
        if not _HEAD_BYTES < len(data) <= MAX_PICTURE_BYTES:
            raise BitstreamError(
                f"AV1 reference length: got {len(data)} bytes, expected {_HEAD_BYTES + 1}..{MAX_PICTURE_BYTES}"
            )
        chain, index, unit = data[0], data[1], data[_HEAD_BYTES:]
        if index and self.expected != (chain, index):
            expected = "a key unit" if self.expected is None else f"unit {self._next} of chain {self._chain}"
            raise BitstreamError(
                f"AV1 reference order: got unit {index} of chain {chain}, expected {expected}; ask for a new chain"
            )
        size = frame_unit_size(unit, key=index == 0)
        if size is not None:
            if size != (self._frame_px, self._frame_px):
                raise BitstreamError(f"AV1 reference size: got {size}, expected {(self._frame_px, self._frame_px)}")
            self._context = self._open()
            self._chain = chain
        context = self._context
        self._context = None  # until the unit has decoded: a failure in between ends the chain
        assert context is not None  # a key unit opened it, another one was expected
        picture = self._picture(context, unit)
        self._context = context
        self._next = _index_after(index)
        return picture

    def _open(self) -> av.VideoCodecContext:
        context = av.CodecContext.create("libdav1d", "r")
        assert isinstance(context, av.VideoCodecContext)
        # max_pixels is dav1d's own bound on what it allocates, behind the check of the sequence header.
        context.options = {
            "max_frame_delay": "1",
            "max_pixels": str(self._frame_px * self._frame_px),
            "filmgrain": "0",
        }
        context.thread_count = 1
        return context

    def _picture(self, context: av.VideoCodecContext, unit: bytes) -> Image:
        try:
            frames = context.decode(av.Packet(unit))
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise BitstreamError(f"AV1 reference: cannot be decoded ({error}); ask for a new chain") from error
        if len(frames) != 1:
            raise BitstreamError(f"AV1 reference: shows {len(frames)} pictures, expected 1; ask for a new chain")
        frame = frames[0]
        got = (frame.width, frame.height, frame.format.name)
        if got != (self._frame_px, self._frame_px, "yuv420p"):
            raise BitstreamError(f"AV1 reference: shows {got}, expected {self._frame_px} px, 8-bit 4:2:0")
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _index_after(index: int) -> int:
    """Only a key unit has index 0."""
    return index % _LAST_INDEX + 1
