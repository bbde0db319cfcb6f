"""Gauss-Newton fit of a frame's motion in the space of the bitstream's own coefficients.

    made(z) = W(T_c(z)),  W the key frame, T_c the motion field of coefficients c
    r(z) = source(z) - made(z),  dmade/dc_i (z) = grad W(T_c(z)) . dT_c/dc_i (z)
    minimise  sum_z w(z) |r(z) - sum_i dmade/dc_i (z) d_i|^2 + m bits(c + d - c') + damping  over d, then c <- c + d

c' is the motion of the frame before: what hardly shows is left as it was, which is what costs least to send and looks
calmest. It searches only what a packet can say, Jacobians included, and counts errors as the encoder's score does: the
face apart from the whole picture. dT/dc comes from running the motion field with every coefficient changed a little;
that is 48 runs, so it is kept while the motion stays near. Levenberg and Marquardt's damping; pictures at 128x128.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import DEFAULT_QUALITY, MotionCodec
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from sender.motion_correction import Rebuild

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FIT_PX = 128
"""Side of the pictures that are compared."""

PROBE = 0.7
"""Change of a coefficient by which its effect on the flow is measured, finest quantiser steps."""

NEAR = 0.03
"""Root mean square distance of keypoints, [-1, 1] units, within which measured effects are used again."""

BIT_DB = 0.0025
"""m: what a bit is worth in decibels of the picture's score. A uniform quantiser of the ordinary step pays so much."""

_DB_OF_SHARE = 10 / math.log(10)
_ORDINARY_STEPS = 2.0 ** (DEFAULT_QUALITY / 4)
_DAMPING = 1e-2
_STEPS = 3
_BLUR_PX = 0.7


class FitReference:
    """A key frame as the fit needs it, and the effects of the coefficients that were measured last."""

    def __init__(self, features: ReferenceFeatures, parameters: MotionParameters, picture: Image) -> None:
        """`parameters`: as decoded from the key frame's packet. `picture`: uint8 [S, S, 3], decoded."""
        self.features, self.parameters = features, parameters
        smooth = cv2.GaussianBlur(_small(picture), (0, 0), _BLUR_PX)
        # Per unit of a [-1, 1] coordinate.
        scale = FIT_PX / 2 / 8
        self.across: Floats = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=scale), np.float32)
        self.down: Floats = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=scale), np.float32)
        self.effects: Effects | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """dT/dc around `parameters`: float32 [2, M, 128 * 128], x and y."""

    parameters: MotionParameters
    change: Floats


class MotionFit:
    """Fits the motion of single frames. Not for two threads at once, as the model is not."""

    def __init__(self, model: FaceModel, codec: MotionCodec, quality: int, face_share: float) -> None:
        """`quality`: the motion's quantiser index. `face_share`: how much of the score the face is, 0 to 1."""
        self._model, self._codec, self._quality, self._face_share = model, codec, quality, face_share
        self._scale = codec.steps * _ORDINARY_STEPS
        axis = ((np.arange(FIT_PX) * 2 + 1) / FIT_PX - 1).astype(np.float32)
        self._x, self._y = np.meshgrid(axis, axis)

    def fit(
        self,
        source: Image,
        mask: npt.NDArray[np.bool_],
        reference: FitReference,
        first: Rebuild,
        rebuild: Callable[[MotionParameters], Rebuild],
        before: MotionParameters | None = None,
    ) -> Rebuild:
        """`first` or a better one.

        Args:
            source: uint8 [S, S, 3], the frame to rebuild.
            mask: bool [S, S], its face.
            reference: the key frame.
            first: a rebuild near enough for a linear step, a few pixels of 128 at most.
            rebuild: rebuilds from other parameters as the receiver will, quantisation included.
            before: motion of the frame before, from which this one should differ only where it shows.
        """
        best = first
        expected = None if before is None else self._codec.transform(before, reference.parameters)
        sent = self._codec.quantise(first.parameters, reference.parameters, self._quality)
        coefficients = self._codec.transform(sent, reference.parameters)
        wanted, face = (
            _small(source),
            cv2.resize(mask.astype(np.float32), (FIT_PX, FIT_PX), interpolation=cv2.INTER_AREA),
        )
        damping = _DAMPING
        effects = self._effects(reference, coefficients)
        equations: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None
        for _ in range(_STEPS):
            # A step that was refused leaves everything where it was, the equations too.
            if equations is None:
                flow = self._flow(reference, self._codec.inverse_transform(coefficients, reference.parameters))
                equations = self._normal_equations(wanted, np.asarray(face), reference, flow, effects, best.picture)
                if expected is not None:
                    # The normal equations add up three colours, the score takes their mean.
                    weight = 3 * self._bit_slopes(coefficients - expected)
                    equations = equations[0] + np.diag(weight), equations[1] + weight * (expected - coefficients)
            hessian, slope = equations
            diagonal = np.diag(hessian)
            step = np.linalg.solve(hessian + damping * np.diag(diagonal + 0.1 * diagonal.mean()), slope)
            tried = rebuild(self._codec.inverse_transform(coefficients + step, reference.parameters))
            worth_db = tried.score_db - best.score_db
            if expected is not None:
                worth_db += BIT_DB * self._bits(coefficients - expected)
                worth_db -= BIT_DB * self._bits(coefficients + step - expected)
            if worth_db > 0:
                best, coefficients = tried, coefficients + step
                equations = None
                damping /= 3
            else:
                damping *= 10
        return best

    def _bits(self, change: npt.NDArray[np.float64]) -> float:
        """About what a change from the frame before costs to send: a large one hardly more than a middling one."""
        return float(np.log2(1 + np.square(change / self._scale)).sum())

    def _bit_slopes(self, change: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Weights [M] of the squared change whose slope is that of `_bits` here, as a share of the score's loss."""
        slopes: npt.NDArray[np.float64] = 1 / (self._scale**2 + np.square(change))
        return BIT_DB / _DB_OF_SHARE / math.log(2) * slopes

    def _normal_equations(
        self, wanted: Floats, face: Floats, reference: FitReference, flow: Floats, effects: Effects, made: Image
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Hessian [M, M] and right side [M] of the linearised least squares problem."""
        columns, rows = (((axis + flow[..., c] + 1) * FIT_PX - 1) / 2 for c, axis in enumerate((self._x, self._y)))
        across, down = (
            cv2.remap(g, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(-1, 3)
            for g in (reference.across, reference.down)
        )
        residual = wanted - _small(made)
        weight = self._weight(np.square(residual).mean(axis=-1), face).reshape(-1, 1)
        residual = residual.reshape(-1, 3)
        # The colours are added up before the coefficients are multiplied: three planes in the place of three products.
        xx, xy, yy, x, y = (
            (weight * first * second).sum(axis=1)
            for first, second in ((across, across), (across, down), (down, down), (across, residual), (down, residual))
        )
        moved_x, moved_y = effects.change
        hessian = (moved_x * xx + moved_y * xy) @ moved_x.T + (moved_x * xy + moved_y * yy) @ moved_y.T
        slope = moved_x @ x + moved_y @ y
        return hessian.astype(np.float64), slope.astype(np.float64)

    def _weight(self, squared: Floats, face: Floats) -> Floats:
        """Weight of each pixel's squared error [S, S]: the gradient of the score, a mean of two PSNRs."""
        whole = (1 - self._face_share) / (squared.mean() + 1) / squared.size
        area = max(float(face.sum()), 1.0)
        part = self._face_share * face / area / (float((squared * face).sum()) / area + 1)
        return np.asarray(whole + part, np.float32)

    def _effects(self, reference: FitReference, coefficients: npt.NDArray[np.float64]) -> Effects:
        """dT/dc, measured here or near here."""
        at = self._codec.inverse_transform(coefficients, reference.parameters)
        known = reference.effects
        if known is not None and known.parameters.distance(at) < NEAR:
            return known
        flow = self._flow(reference, at)
        change = np.empty((2, len(coefficients), FIT_PX * FIT_PX), np.float32)
        for number, probe in enumerate(PROBE * self._codec.steps):
            probed = coefficients.copy()
            probed[number] += probe
            moved = self._flow(reference, self._codec.inverse_transform(probed, reference.parameters))
            change[:, number] = ((moved - flow) / probe).reshape(-1, 2).T
        reference.effects = Effects(at, change)
        return reference.effects

    def _flow(self, reference: FitReference, driving: MotionParameters) -> Floats:
        """Flow [128, 128, 2] in [-1, 1] units."""
        flow = self._model.flow(reference.features, reference.parameters, driving)
        planes = np.ascontiguousarray(flow.transpose(1, 2, 0))
        return np.asarray(cv2.resize(planes, (FIT_PX, FIT_PX), interpolation=cv2.INTER_LINEAR), np.float32)


def _small(picture: Image) -> Floats:
    return np.asarray(cv2.resize(picture, (FIT_PX, FIT_PX), interpolation=cv2.INTER_AREA), np.float32)
