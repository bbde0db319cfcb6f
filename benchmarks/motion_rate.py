"""Bytes that the motion of a clip costs, by part, on a schedule of messages and acknowledgements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from adasr_core.bitstream import MAX_MESSAGE_FRAMES, CodedFrame, FrameToCode, MotionCodec
from adasr_core.bitstream.message_head import MAX_INTERVAL_MS
from adasr_core.bitstream.prediction import MAX_DISTANCE
from adasr_core.geometry import MotionParameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How frames become messages.

    name: for reports. frames_per_message: 1 to 8. acknowledged_after_ms: when a message has been sent for so long, its
    newest frame can be a base; 0: at once, as in a file. extra_bytes: head of whatever holds a message.
    """

    name: str
    frames_per_message: int
    acknowledged_after_ms: int
    extra_bytes: int = 0

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 1 <= self.frames_per_message <= MAX_MESSAGE_FRAMES:
            raise ValueError(f"frames_per_message: got {self.frames_per_message}, expected 1 to {MAX_MESSAGE_FRAMES}")
        if self.acknowledged_after_ms < 0 or self.extra_bytes < 0:
            raise ValueError(
                f"acknowledged_after_ms, extra_bytes: got {self.acknowledged_after_ms}, {self.extra_bytes}, expected 0 "
                "or more"
            )


SCHEDULES = (
    Schedule(name="file", frames_per_message=4, acknowledged_after_ms=0, extra_bytes=2),
    Schedule(name="call, 4 frames a message", frames_per_message=4, acknowledged_after_ms=120),
    Schedule(name="call, 3 frames a message", frames_per_message=3, acknowledged_after_ms=120),
    Schedule(name="call, 2 frames a message", frames_per_message=2, acknowledged_after_ms=120),
    Schedule(name="call, lowest delay", frames_per_message=1, acknowledged_after_ms=120),
)
"""A record of a file adds two bytes. 120 ms: a round trip of 80 ms and half an interval of feedback."""


@dataclass(frozen=True, slots=True)
class MotionRate:
    """Mean bytes of a frame: all of it, and its parts.

    header_bytes: place, sequence, time, base, quality, frames, the rounding to whole bytes. keypoint_bytes,
    jacobian_bytes: a coefficient's bits fall to both by what they contribute to it.
    """

    bytes_per_frame: float
    header_bytes: float
    keypoint_bytes: float
    jacobian_bytes: float


@dataclass(frozen=True, slots=True, eq=False)
class CodedMotion:
    """A clip's motion after coding: decoded parameters of every frame, and what they cost."""

    frames: tuple[MotionParameters, ...]
    rate: MotionRate


def code_motion(
    frames: Sequence[MotionParameters],
    times_ms: Sequence[int],
    reference: MotionParameters,
    codec: MotionCodec,
    quality: int,
    schedule: Schedule,
) -> CodedMotion:
    """Code a clip against one reference.

    times_ms: capture times, rising. reference: decoded parameters. quality: quantiser index.
    """
    count = codec.keypoints
    # Analysis and synthesis are inverse to each other: these shares of a coefficient add up to one.
    product = codec.basis * codec.synthesis.T
    keypoint_share = np.clip(product[:, : 2 * count].sum(axis=1), 0, 1)
    sent: list[tuple[int, CodedFrame]] = []
    decoded: list[MotionParameters] = []
    total = coefficients = keypoints = 0.0
    for numbers in _groups(times_ms, schedule.frames_per_message):
        now_ms = times_ms[numbers[-1]]
        base = _base(sent, numbers, now_ms - schedule.acknowledged_after_ms)
        group = [FrameToCode(times_ms[number] % 65_536, frames[number]) for number in numbers]
        message, coded = codec.encode_message(
            group, reference, slot=0, generation=0, sequence=numbers[-1] % 256, quality=quality, base=base
        )
        for cost in codec.frame_costs(group, coded, reference, base):
            coefficients += float(cost.bits.sum()) / 8
            keypoints += float((cost.bits * keypoint_share).sum()) / 8
        total += len(message.pack()) + schedule.extra_bytes
        sent.append((now_ms, coded[-1]))
        decoded.extend(frame.parameters for frame in coded)
    rate = MotionRate(
        bytes_per_frame=total / len(frames),
        header_bytes=(total - coefficients) / len(frames),
        keypoint_bytes=keypoints / len(frames),
        jacobian_bytes=(coefficients - keypoints) / len(frames),
    )
    return CodedMotion(tuple(decoded), rate)


def _groups(times_ms: Sequence[int], most: int) -> Iterator[range]:
    """Numbers of the frames of each message; one with frames far apart in time is cut there."""
    start = 0
    for number in range(1, len(times_ms) + 1):
        end = number == len(times_ms) or number - start == most
        if end or times_ms[number] - times_ms[number - 1] > MAX_INTERVAL_MS:
            yield range(start, number)
            start = number


def _base(sent: Sequence[tuple[int, CodedFrame]], numbers: range, before_ms: int) -> CodedFrame | None:
    """The newest frame sent by then that a message of these frames can use."""
    for time_ms, frame in reversed(sent):
        if time_ms <= before_ms:
            distance = (numbers[-1] - frame.sequence) & 0xFF
            return frame if len(numbers) <= distance <= MAX_DISTANCE else None
    return None
