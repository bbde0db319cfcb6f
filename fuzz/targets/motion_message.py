"""Motion messages, and the state that they build up: frames that later messages are coded against."""

from __future__ import annotations

from itertools import islice

import numpy as np

from adasr_core.bitstream import BitstreamError, CodedFrame, FrameToCode, MotionCodec, MotionMessage
from adasr_core.geometry import JACOBIAN_LIMIT, KEYPOINT_LIMIT
from fuzz.made_tables import made_tables
from fuzz.material import head_motion
from fuzz.sequences import joined, parted
from fuzz.target import Target

_K, _COMPONENTS, _RADIUS = 5, 12, 3
_MOST_MESSAGES = 12
_MOST_HELD = 64
_CODEC = MotionCodec(made_tables(_K, _COMPONENTS, radius=_RADIUS), _K)
_MOTION = head_motion(_K, 40)
_REFERENCES = {(0, 0): _MOTION[0], (3, 15): _MOTION[20]}


def build() -> Target:
    """Inputs: messages as `joined`. Every frame is finite and within the limits, in the order of the sequences."""
    return Target(
        check=_check,
        errors=(BitstreamError,),
        seeds=(_call(1, False), _call(3, False), _call(1, True), _call(4, True), _call(8, False), _call(6, True)),
        max_bytes=4096,
    )


def _call(frames_per_message: int, with_repeats: bool) -> bytes:
    """Messages of a call; the last ones against the second reference and a base of the first."""
    messages = []
    base: CodedFrame | None = None
    for number in range(4):
        newest = 250 + (number + 1) * frames_per_message
        place = (0, 0) if number < 3 else (3, 15)
        times = range(newest - frames_per_message + 1, newest + 1)
        frames = [FrameToCode(time * 40 % 65536, _MOTION[time % len(_MOTION)]) for time in times]
        message, coded = _CODEC.encode_message(
            frames,
            _REFERENCES[place],
            slot=place[0],
            generation=place[1],
            sequence=newest % 256,
            quality=4 * number,
            base=base,
            repeats=int(with_repeats and frames_per_message > 1),
        )
        base = coded[-1]
        messages.append(message.pack())
    return joined(messages)


def _check(data: bytes) -> None:
    held: dict[int, CodedFrame] = {}
    refusal: BitstreamError | None = None
    decoded = 0
    for part in islice(parted(data), _MOST_MESSAGES):
        try:
            message = MotionMessage.unpack(part)
            assert message.pack() == part
            reference = _REFERENCES.get((message.slot, message.generation), _MOTION[0])
            frames = _CODEC.decode_message(message, reference, held.get)
        except BitstreamError as error:
            refusal = error
            continue
        decoded += 1
        assert 1 <= len(frames) <= 8
        assert [frame.sequence for frame in frames] == [
            (message.sequence - age) % 256 for age in reversed(range(len(frames)))
        ]
        assert frames[-1].time_ms == message.time_ms
        for frame in frames:
            assert np.isfinite(frame.parameters.vector()).all()
            assert np.abs(frame.parameters.keypoints).max() <= KEYPOINT_LIMIT
            assert np.abs(frame.parameters.jacobians).max() <= JACOBIAN_LIMIT
            held[frame.sequence] = frame
            if len(held) > _MOST_HELD:
                del held[next(iter(held))]
    if refusal and not decoded:
        raise refusal
