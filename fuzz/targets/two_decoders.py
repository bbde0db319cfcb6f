"""Motion messages through the product and through the independent decoder of the conformance tests: equal outcomes."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

from adasr_core.bitstream import BitstreamError, CodedFrame, FrameToCode, MotionCodec, MotionMessage
from fuzz.made_tables import made_tables
from fuzz.material import head_motion
from fuzz.sequences import joined, parted
from fuzz.target import Target
from tests.conformance.independent_decoder import Frame, IndependentDecoder, Refused

_K, _COMPONENTS, _RADIUS = 3, 6, 2
_MOST_MESSAGES = 6
_TOLERANCE = 1e-4
_TABLES = made_tables(_K, _COMPONENTS, radius=_RADIUS)
_CODEC = MotionCodec(_TABLES, _K)
_MOTION = head_motion(_K, 30)


def build() -> Target:
    """Inputs: messages as `joined`, against one reference."""
    seeds = []
    for count in (1, 3, 4, 8):
        base: CodedFrame | None = None
        messages = []
        for number in range(3):
            frames = [FrameToCode(index * 40, _MOTION[index]) for index in range(number * count, (number + 1) * count)]
            message, coded = _CODEC.encode_message(
                frames,
                _MOTION[0],
                slot=0,
                generation=0,
                sequence=(number + 1) * count - 1,
                quality=5 * number,
                base=base,
                repeats=count // 3,
            )
            base = coded[-1]
            messages.append(message.pack())
        seeds.append(joined(messages))
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(seeds), max_bytes=1000)


def _independent() -> IndependentDecoder:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tables.safetensors"
        _TABLES.save(path)
        return IndependentDecoder(path.read_bytes())


_OTHER = _independent()
_REFERENCE = _MOTION[0].vector().astype(np.float64)


def _check(data: bytes) -> None:
    held: dict[int, CodedFrame] = {}
    others: dict[int, Frame] = {}
    refusal: BitstreamError | None = None
    for part in islice(parted(data), _MOST_MESSAGES):
        part = b"\0" + part[1:]  # one reference: another one would bring in rounding
        try:
            frames = _CODEC.decode_message(MotionMessage.unpack(part), _MOTION[0], held.get)
        except BitstreamError as error:
            refusal = error
            frames = ()
        try:
            other = _OTHER.message(part, _REFERENCE, others)
        except Refused:
            other = []
        assert len(frames) == len(other)
        for one, two in zip(frames, other, strict=True):
            assert (one.sequence, one.time_ms, one.quality) == (two.sequence, two.time_ms, two.quality)
            assert one.coefficients == two.coefficients
            assert np.abs(one.parameters.vector() - two.parameters).max() <= _TOLERANCE
            held[one.sequence], others[two.sequence] = one, two
    if refusal and not held:
        raise refusal
