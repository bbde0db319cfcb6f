"""Motion messages and reference parameters as bytes.

::

    driving, reference -> difference [6K] -> transform [M] -> integers, 1/64 of a step
    integers - prediction -> quantiser -> arithmetic coder -> body
    driving' = reference + inverse of (prediction + dequantised)          (decode)

The difference holds keypoints ``driving - reference`` (2K) and Jacobians ``J_driving @ inverse(J_reference) - I`` (4K).
A message is predicted from its reference alone or from one earlier frame that the receiver holds, never blindly from
the frame before: what arrives decodes. Which rows code a level never depends on a predicted value, so a float's last
digit cannot make two ends read different symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.bounds import require
from adasr_core.bitstream.entropy import Decoder, Encoder
from adasr_core.bitstream.levels import LevelCoder, to_levels
from adasr_core.bitstream.message_head import MAX_INTERVAL_MS, KnownBase, MessageHead, decode_head, encode_head
from adasr_core.bitstream.motion_message import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_FRAMES,
    CodedFrame,
    FrameToCode,
    MissingBaseError,
    MotionMessage,
)
from adasr_core.bitstream.packets import MAX_PARAMETERS_BYTES, MAX_QUALITY
from adasr_core.bitstream.prediction import INTRA_MODE, MAX_DISTANCE, coding_order, predict
from adasr_core.bitstream.reference_parameters import ReferenceCoder
from adasr_core.bitstream.tables import MotionTables
from adasr_core.geometry import JACOBIAN_LIMIT, KEYPOINT_LIMIT, MotionParameters

MIN_DETERMINANT = 1e-3
"""A reference Jacobian's determinant is taken as at least this far from zero (sign kept) when it is inverted."""

UNIT = 64
"""Coefficients of coded frames are whole multiples of a step over this."""

STEPS = (64, 76, 91, 108, 128, 152, 181, 215, 256, 304, 362, 431, 512, 609, 724, 861)
"""Quantiser step of each quality index in these units: 64 * 2**(q / 4), rounded."""

REPEAT_COARSER = 6
"""A repeated frame's quality index is so much above the message's (15 at most)."""

_LARGEST = 1 << 24
ROUND_UP_FROM = 2 / 3
"""A remainder below this share of a step is left out: cheaper by more than it costs the picture."""

Coefficients = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FrameCost:
    """What a frame of a message costs. mode: see `prediction`. bits: of each coefficient, float64 [M]."""

    mode: int
    bits: npt.NDArray[np.float64]


class MotionCodec:
    """Codes motion against references, and references' own parameters, with one model's tables.

    Immutable after construction; one object serves any number of streams and threads.
    """

    __slots__ = ("_basis", "_levels", "_references", "_steps", "_synthesis", "_tables")

    def __init__(self, tables: MotionTables, keypoints: int) -> None:
        """Prepare the tables of a model with `keypoints` keypoints.

        Raises:
            ValueError: the tables are for another number of keypoints.
        """
        if tables.keypoints != keypoints:
            raise ValueError(
                f"tables: made for {tables.keypoints} keypoints, expected {keypoints}; use the model's own"
            )
        self._tables = tables
        self._levels = LevelCoder(tables)
        self._references = ReferenceCoder(tables)
        # Double precision, so that machines differ by far less than a float32's last digit.
        self._steps = tables.steps.astype(np.float64) / UNIT
        self._basis = tables.basis.astype(np.float64)
        self._synthesis = tables.synthesis.astype(np.float64)

    @property
    def keypoints(self) -> int:
        """K, the number of keypoints."""
        return self._tables.keypoints

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Quantiser step of each transform coefficient at quality index 0: float64 [M]."""
        return self._steps * UNIT

    @property
    def basis(self) -> npt.NDArray[np.float64]:
        """Analysis: float64 [M, 6K]."""
        return self._basis

    @property
    def synthesis(self) -> npt.NDArray[np.float64]:
        """Its inverse: float64 [6K, M]."""
        return self._synthesis

    def encode_message(
        self,
        frames: Sequence[FrameToCode],
        reference: MotionParameters,
        *,
        slot: int,
        generation: int,
        sequence: int,
        quality: int,
        base: CodedFrame | None = None,
        repeats: int = 0,
    ) -> tuple[MotionMessage, tuple[CodedFrame, ...]]:
        """Code one to eight frames of consecutive sequences.

        Args:
            frames: oldest first.
            reference: its *decoded* parameters.
            slot: of the reference.
            generation: of the slot.
            sequence: of the newest frame, modulo 256.
            quality: 0 (finest) to 15.
            base: an earlier frame that the receiver holds, coded against this or another reference, at most 63 frames
                before the newest, older than all of `frames` and no repeat; None codes against the reference alone.
            repeats: so many of the oldest frames went before, and are coded coarser now: insurance against loss.

        Returns:
            The message, and the frames as the receiver will have them, oldest first.

        Raises:
            ValueError: a number out of range, frames over 1023 ms apart, or parameters that are not finite or beyond
                the limits of `geometry`.
        """
        require("frames", len(frames), 1, MAX_MESSAGE_FRAMES)
        require("quality", quality, 0, MAX_QUALITY)
        require("repeats", repeats, 0, len(frames) - 1)
        newest = frames[-1]
        distance = 0
        known: KnownBase | None = None
        if base is not None:
            if base.repeat:
                raise ValueError(f"base {base.sequence}: got a repeat, expected the frame as it was first sent")
            distance = (sequence - base.sequence) & 0xFF
            require("base distance", distance, len(frames), MAX_DISTANCE)
            known = _known(base, newest.time_ms)
        intervals = tuple(
            (later.time_ms - earlier.time_ms) & 0xFFFF
            for earlier, later in zip(frames[-2::-1], frames[:0:-1], strict=True)
        )
        for interval in intervals:
            require("interval between frames, ms", interval, 1, MAX_INTERVAL_MS)
        head = MessageHead(distance=distance, quality=quality, repeats=repeats, intervals_ms=intervals)
        encoder = Encoder()
        encode_head(encoder, head, known)
        held = self._held(base, distance, reference, (slot, generation))
        for prediction in coding_order(len(frames), distance):
            frame_quality = _quality_of(prediction.age, head)
            exact = self.transform(frames[-1 - prediction.age].parameters, reference) / self._steps
            predicted = predict(prediction, held, self._tables.components)
            levels = self._quantise(exact - predicted, frame_quality)
            self._levels.encode(encoder, levels, prediction.mode, frame_quality)
            held[prediction.age] = _rebuild(predicted, levels.tolist(), frame_quality)
        message = MotionMessage(
            slot=slot, generation=generation, sequence=sequence, time_ms=newest.time_ms, body=encoder.finish()
        )
        return message, self._coded(message, head, held, reference)

    def decode_message(
        self, message: MotionMessage, reference: MotionParameters, find_base: Callable[[int], CodedFrame | None]
    ) -> tuple[CodedFrame, ...]:
        """Inverse of `encode_message`, up to quantisation; values are clamped to the limits of `geometry`.

        Args:
            message: the message.
            reference: decoded parameters of the reference that it names.
            find_base: gives the frame that is held under a sequence number, 0..255, or None. A repeat is as good as
                none: the sender has coded against the frame that it repeats.

        Returns:
            Its frames, oldest first.

        Raises:
            MissingBaseError: the message needs a frame that is not held.
            BitstreamError: the body is no code that `encode_message` makes.
            ValueError: the reference's shape or values are out of range.
        """
        self._check(reference, "reference")
        decoder = Decoder(message.body, MAX_BODY_BYTES)
        base: CodedFrame | None = None

        def find(distance: int) -> KnownBase:
            nonlocal base
            sequence = (message.sequence - distance) & 0xFF
            base = find_base(sequence)
            if base is None or base.repeat:
                raise MissingBaseError(f"motion message {message.sequence}: its base {sequence} is not held; drop it")
            return _known(base, message.time_ms)

        head = decode_head(decoder, find)
        held = self._held(base, head.distance, reference, (message.slot, message.generation))
        for prediction in coding_order(head.frames, head.distance):
            quality = _quality_of(prediction.age, head)
            levels = self._levels.decode(decoder, prediction.mode, quality)
            held[prediction.age] = _rebuild(predict(prediction, held, self._tables.components), levels, quality)
        decoder.finish()
        return self._coded(message, head, held, reference)

    def quantise(self, driving: MotionParameters, reference: MotionParameters, quality: int) -> MotionParameters:
        """The parameters of a frame to the precision of a quality index, coded against the reference alone.

        Raises:
            ValueError: quality, shape or values out of range.
        """
        require("quality", quality, 0, MAX_QUALITY)
        step = self._steps * STEPS[quality]
        return self.inverse_transform(np.rint(self.transform(driving, reference) / step) * step, reference)

    def frame_costs(
        self,
        frames: Sequence[FrameToCode],
        coded: Sequence[CodedFrame],
        reference: MotionParameters,
        base: CodedFrame | None,
    ) -> tuple[FrameCost, ...]:
        """What each frame of a message that `encode_message` made costs, in coding order; for measurements."""
        newest = coded[-1]
        distance = 0 if base is None else (newest.sequence - base.sequence) & 0xFF
        held = self._held(base, distance, reference, (newest.slot, newest.generation))
        costs = []
        for prediction in coding_order(len(frames), distance):
            frame = coded[-1 - prediction.age]
            predicted = predict(prediction, held, self._tables.components)
            exact = self.transform(frames[-1 - prediction.age].parameters, reference) / self._steps
            levels = self._quantise(exact - predicted, frame.quality)
            costs.append(FrameCost(prediction.mode, self._levels.frame_bits(levels, prediction.mode, frame.quality)))
            held[prediction.age] = frame.coefficients
        return tuple(costs)

    def transform(self, driving: MotionParameters, reference: MotionParameters) -> npt.NDArray[np.float64]:
        """Transform coefficients of a frame against a reference, before quantisation: float64 [M].

        Raises:
            ValueError: shape or values out of range (not finite, or beyond the limits of `geometry`).
        """
        self._check(driving, "driving")
        self._check(reference, "reference")
        points = driving.keypoints.astype(np.float64) - reference.keypoints
        jacobians = driving.jacobians.astype(np.float64) @ _inverse(reference.jacobians) - np.eye(2)
        coefficients: npt.NDArray[np.float64] = self._basis @ np.concatenate(
            (points.reshape(-1), jacobians.reshape(-1))
        )
        return coefficients

    def inverse_transform(self, coefficients: npt.NDArray[np.float64], reference: MotionParameters) -> MotionParameters:
        """Parameters of a frame from its transform coefficients [M], clamped to the limits of `geometry`."""
        difference = self._synthesis @ coefficients
        points = difference[: 2 * self.keypoints].reshape(-1, 2)
        jacobians = difference[2 * self.keypoints :].reshape(-1, 2, 2)
        return MotionParameters.create(
            np.clip(reference.keypoints + points, -KEYPOINT_LIMIT, KEYPOINT_LIMIT),
            np.clip((np.eye(2) + jacobians) @ reference.jacobians, -JACOBIAN_LIMIT, JACOBIAN_LIMIT),
        )

    def encode_reference(self, parameters: MotionParameters, base: MotionParameters | None = None) -> bytes:
        """Code a reference's own parameters. Both ends go on with `decode_reference` of it.

        base: decoded parameters of another reference that the receiver holds: a sixth of the bytes, a little less
        exact (what the transform cannot say is lost).

        Raises:
            ValueError: shape or values out of range (not finite, or beyond the limits of `geometry`).
        """
        self._check(parameters, "reference")
        if base is None:
            return self._references.encode(parameters)
        encoder = Encoder()
        levels = to_levels(np.rint(self.transform(parameters, base) / self._steps / STEPS[0]), self._tables.radius)
        self._levels.encode(encoder, levels, INTRA_MODE, 0)
        return encoder.finish()

    def decode_reference(self, data: bytes, base: MotionParameters | None = None) -> MotionParameters:
        """Inverse of `encode_reference`, up to quantisation; values are clamped to the limits of `geometry`.

        Raises:
            BitstreamError: the bytes are too many or no code that `encode_reference` makes.
            ValueError: the base's shape or values are out of range.
        """
        if base is None:
            return self._references.decode(data)
        self._check(base, "base")
        decoder = Decoder(data, MAX_PARAMETERS_BYTES)
        levels = self._levels.decode(decoder, INTRA_MODE, 0)
        decoder.finish()
        return self.inverse_transform(np.array(levels) * STEPS[0] * self._steps, base)

    def _quantise(self, remainder: npt.NDArray[np.float64], quality: int) -> Coefficients:
        """Levels [M] of what is left of a prediction, in units."""
        scaled = remainder / STEPS[quality]
        return to_levels(np.sign(scaled) * np.floor(np.abs(scaled) + 1 - ROUND_UP_FROM), self._tables.radius)

    def _held(
        self, base: CodedFrame | None, distance: int, reference: MotionParameters, place: tuple[int, int]
    ) -> dict[int, tuple[int, ...]]:
        """The base's coefficients against this reference, by age."""
        if base is None:
            return {}
        if (base.slot, base.generation) == place:
            return {distance: base.coefficients}
        exact = np.rint(self.transform(base.parameters, reference) / self._steps)
        return {distance: tuple(int(c) for c in np.clip(exact, -_LARGEST, _LARGEST))}

    def _coded(
        self,
        message: MotionMessage,
        head: MessageHead,
        coefficients: dict[int, tuple[int, ...]],
        reference: MotionParameters,
    ) -> tuple[CodedFrame, ...]:
        """The frames of a message, oldest first."""
        frames = []
        time_ms = message.time_ms
        for age in range(head.frames):
            if age:
                time_ms = (time_ms - head.intervals_ms[age - 1]) & 0xFFFF
            own = coefficients[age]
            frames.append(
                CodedFrame(
                    sequence=(message.sequence - age) & 0xFF,
                    time_ms=time_ms,
                    slot=message.slot,
                    generation=message.generation,
                    quality=_quality_of(age, head),
                    coefficients=own,
                    parameters=self.inverse_transform(np.array(own, np.float64) * self._steps, reference),
                    repeat=age >= head.frames - head.repeats,
                )
            )
        return tuple(reversed(frames))

    def _check(self, parameters: MotionParameters, name: str) -> None:
        expected = (self.keypoints, 2)
        if parameters.keypoints.shape != expected or parameters.jacobians.shape != (*expected, 2):
            raise ValueError(f"{name}: got {parameters.keypoints.shape} keypoints, expected {expected}; use one model")
        # Written so that a value that is not a number fails as well.
        if not (np.abs(parameters.keypoints).max() <= KEYPOINT_LIMIT):
            raise ValueError(f"{name}: got a keypoint that is not within {KEYPOINT_LIMIT:g}; drop this frame")
        if not (np.abs(parameters.jacobians).max() <= JACOBIAN_LIMIT):
            raise ValueError(f"{name}: got a Jacobian entry that is not within {JACOBIAN_LIMIT:g}; drop this frame")


def _known(base: CodedFrame, time_ms: int) -> KnownBase:
    return KnownBase(base.quality, (time_ms - base.time_ms) & 0xFFFF)


def _quality_of(age: int, head: MessageHead) -> int:
    """Quality index of the frame of an age: repeats are the oldest frames."""
    repeated = age >= head.frames - head.repeats
    return min(head.quality + REPEAT_COARSER, MAX_QUALITY) if repeated else head.quality


def _rebuild(predicted: Sequence[int], levels: Sequence[int], quality: int) -> tuple[int, ...]:
    """Coefficients in units; bounded, so that no chain of messages can make them grow without end."""
    step = STEPS[quality]
    return tuple(
        max(-_LARGEST, min(_LARGEST, known + level * step)) for known, level in zip(predicted, levels, strict=True)
    )


def _inverse(matrices: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Inverse of 2x2 matrices [K, 2, 2], determinants kept `MIN_DETERMINANT` away from zero."""
    a, b = matrices[:, 0, 0].astype(np.float64), matrices[:, 0, 1].astype(np.float64)
    c, d = matrices[:, 1, 0].astype(np.float64), matrices[:, 1, 1].astype(np.float64)
    determinant = a * d - b * c
    safe = np.copysign(np.maximum(np.abs(determinant), MIN_DETERMINANT), determinant)
    adjugate = np.stack((d, -b, -c, a), axis=1).reshape(-1, 2, 2)
    inverse: npt.NDArray[np.float64] = adjugate / safe[:, None, None]
    return inverse
