"""Motion parameters of frames that did not come: between their neighbours, carried on, and the way back.

    known      o----o----o              o----o----o
    drawn                  x  x  .  .  /                x: carried on, slower and slower; then the picture stands
    shown      o----o----o-x--x--------+ o---o----o     the first frames after that are blended with what was shown

Between two frames parameters are linear in time. The two may belong to different references: parameters are absolute,
so they are mixed as they are, and the frame is rebuilt from the reference of the later one. Motion is carried on only
from frames of one reference: between those of two, the change of reference would pass for motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import MotionParameters

Vector = npt.NDArray[np.float64]

VELOCITY_HORIZONS = 1.0
"""Frames farther apart than so many horizons say nothing about the present velocity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcealmentConfig:
    """How far what was not received may be made up."""

    horizon_ms: float = 280.0
    """Motion that is carried on comes to a stop after so long. 0 holds the last frame."""
    gain: float = 0.14
    """Share of the last two frames' velocity that is carried on, 0 to 1: a head turns back more often than not."""
    max_displacement: float = 0.06
    """No keypoint is carried on farther, in crop coordinates (2 is the width of the crop)."""
    max_jacobian_change: float = 0.2
    """No entry of a Jacobian is changed by more."""
    blend_ms: float = 80.0
    """The way back from what was made up takes so long, two frames or so. 0 jumps."""
    max_blend_gap_ms: float = 1000.0
    """After a longer interruption the picture jumps: it has nothing to do with what was shown before."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("horizon_ms", "max_displacement", "max_jacobian_change", "blend_ms", "max_blend_gap_ms"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.gain <= 1:
            raise ValueError(f"gain: got {self.gain}, expected 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Parameters at a capture time. family: frames of one family, those of one reference, may carry motion on."""

    capture_ms: float
    vector: Vector
    family: object


def interpolate_at(samples: Sequence[Sample], capture_ms: float) -> Vector:
    """Parameters within the time of the samples, which are ordered; before the first one those of the first."""
    later = next((place for place, sample in enumerate(samples) if sample.capture_ms >= capture_ms), None)
    if later is None:
        return samples[-1].vector
    if later == 0:
        return samples[0].vector
    a, b = samples[later - 1], samples[later]
    position = (capture_ms - a.capture_ms) / (b.capture_ms - a.capture_ms)
    return a.vector + position * (b.vector - a.vector)


def extrapolate_at(samples: Sequence[Sample], capture_ms: float, config: ConcealmentConfig) -> Vector:
    """Parameters after the last of the samples: the velocity of the last two, braked evenly to a stop at the horizon.

    displacement(t) = velocity * (t - t^2 / (2 horizon)), made smaller as a whole where a limit is passed, so that the
    face keeps its shape.
    """
    last = samples[-1]
    after_ms = min(capture_ms - last.capture_ms, config.horizon_ms)
    if after_ms <= 0 or len(samples) < 2:
        return last.vector
    before = samples[-2]
    elapsed_ms = last.capture_ms - before.capture_ms
    if before.family is not last.family or elapsed_ms > VELOCITY_HORIZONS * config.horizon_ms:
        return last.vector
    velocity = (last.vector - before.vector) / elapsed_ms
    displacement = config.gain * velocity * (after_ms - after_ms * after_ms / (2 * config.horizon_ms))
    keypoints = displacement.size // 3
    too_far = max(
        float(np.abs(displacement[:keypoints]).max()) / max(config.max_displacement, 1e-9),
        float(np.abs(displacement[keypoints:]).max()) / max(config.max_jacobian_change, 1e-9),
        1.0,
    )
    moved: Vector = last.vector + displacement / too_far
    return moved


class Concealment:
    """Gives the parameters of every frame to show, also of those that did not come, without jumps."""

    def __init__(self, config: ConcealmentConfig) -> None:
        self._config = config
        self._shown: tuple[float, Vector] | None = None
        self._offset: tuple[float, Vector] | None = None

    def parameters(
        self, samples: Sequence[Sample], capture_ms: float, missed: bool, interval_ms: float
    ) -> MotionParameters:
        """Parameters to show.

        Args:
            samples: what is known around that time, in order: at least one.
            capture_ms: the time that is shown; it rises from call to call.
            missed: frames should have been shown since the last call, but were not there or were made up.
            interval_ms: time between frames.
        """
        target = self._at(samples, capture_ms)
        if self._shown is not None and missed:
            self._offset = self._difference(self._shown, samples, capture_ms, interval_ms)
        if self._offset is not None:
            begun_ms, offset = self._offset
            weight = 1.0 - (capture_ms - begun_ms) / max(self._config.blend_ms, 1e-9)
            if weight > 0:
                target = target + weight * offset
            else:
                self._offset = None
        self._shown = (capture_ms, target)
        return MotionParameters.from_vector(target).clamped()

    def _difference(
        self, shown: tuple[float, Vector], samples: Sequence[Sample], capture_ms: float, interval_ms: float
    ) -> tuple[float, Vector] | None:
        """What is shown minus what should be, just before `capture_ms`; None where the picture may jump."""
        shown_ms, vector = shown
        if capture_ms - shown_ms > self._config.max_blend_gap_ms:
            return None
        begun_ms = max(shown_ms, capture_ms - min(interval_ms, self._config.blend_ms / 2))
        return begun_ms, vector - self._at(samples, begun_ms)

    def _at(self, samples: Sequence[Sample], capture_ms: float) -> Vector:
        if capture_ms <= samples[-1].capture_ms:
            return interpolate_at(samples, capture_ms)
        return extrapolate_at(samples, capture_ms, self._config)
