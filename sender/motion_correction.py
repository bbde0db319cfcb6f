"""Analysis by synthesis: motion parameters corrected by what the receiver's rebuild shows.

    source frame ----------------------------------> dense optical flow --> mean around each keypoint --> parameters
    parameters -> quantise -> receiver's rebuild --^                                                       |
                    ^--------------------------------------------------------------------------------------+

A detector says where a part of the face is seen; what counts is where the rebuild puts it. Where the rebuild shows
at z + f(z) what the source shows at z, the keypoint near z has to move by -f(z). The flow is that of Kroeger et al.,
"Fast Optical Flow using Dense Inverse Search" (2016), as OpenCV has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters

Image = npt.NDArray[np.uint8]

KERNELS = (0.05, 0.03)
"""Surroundings that each iteration looks at: first a feature of the face, then half of one."""

COMPARED_PX = 256
"""Side of the pictures between which the flow is found."""

MAX_TEXTURE = 3600.0
"""Squared grey-level gradient above which an edge counts no more."""

TEXTURE_FLOOR = 20.0
"""What a pixel without texture counts."""

RESTRAINT = 600.0
"""Texture of a surface that would stand still: it halves the correction where the picture has that much itself."""

FREE_KERNEL_RATIO = 3.0
"""Free keypoints (shoulders, hair) move larger parts than face keypoints do: their kernel is wider by this."""


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuilt frame. parameters: before quantisation. picture: uint8 [S, S, 3]. score_db: higher is better."""

    parameters: MotionParameters
    picture: Image
    score_db: float


class MotionCorrector:
    """Corrects the parameters of single frames; holds the flow's buffers, so use one for each thread."""

    def __init__(self, kernels: tuple[float, ...] = KERNELS) -> None:
        """`kernels`: for every iteration the standard deviation of a face keypoint's surroundings, in [-1, 1] units."""
        self._kernels = kernels
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def correct(self, source: Image, first: Rebuild, rebuild: Callable[[MotionParameters], Rebuild]) -> Rebuild:
        """The best of `first` and one further rebuild for every kernel, each corrected from the one before.

        Args:
            source: uint8 [S, S, 3], the frame to rebuild.
            first: its rebuild as it stands.
            rebuild: rebuilds from other parameters as the receiver will, quantisation included.
        """
        best = current = first
        texture = texture_of(source)
        for kernel in self._kernels:
            displacement = self.displacement(source, current.picture)
            parameters = shift_keypoints(current.parameters, displacement, texture, kernel)
            current = rebuild(parameters)
            if current.score_db > best.score_db:
                best = current
        return best

    def displacement(self, source: Image, rebuilt: Image) -> npt.NDArray[np.float32]:
        """Flow f [256, 256, 2] in [-1, 1] units: `rebuilt` shows at z + f(z) what `source` shows at z."""
        flow = self._flow.calc(_grey(source), _grey(rebuilt), None)  # type: ignore[call-overload]
        return np.asarray(flow, np.float32) * np.float32(2 / COMPARED_PX)


def texture_of(source: Image) -> npt.NDArray[np.float32]:
    """How much each pixel's flow can be trusted: squared gradient, float32 [256, 256], from 20 to 3620."""
    smooth = cv2.GaussianBlur(_grey(source).astype(np.float32), (0, 0), 1)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(np.minimum(across**2 + down**2, MAX_TEXTURE) + TEXTURE_FLOOR, np.float32)


def shift_keypoints(
    parameters: MotionParameters,
    displacement: npt.NDArray[np.float32],
    texture: npt.NDArray[np.float32],
    kernel: float,
) -> MotionParameters:
    """Move each keypoint against the mean displacement around it; Jacobians stay.

    Args:
        parameters: of the frame that was rebuilt.
        displacement: [S, S, 2], see `MotionCorrector.displacement`.
        texture: [S, S], weight of each pixel, see `texture_of`.
        kernel: standard deviation of the Gaussian surroundings of a face keypoint, in [-1, 1] units.
    """
    side = displacement.shape[0]
    axis = ((np.arange(side) * 2 + 1) / side - 1).astype(np.float32)
    widths = np.full((parameters.count, 1), kernel, np.float32)
    widths[FACE_KEYPOINTS:] *= FREE_KERNEL_RATIO
    # Keypoints outside the picture are led by its edge.
    inside = np.clip(parameters.keypoints, -1, 1)
    across, down = (np.exp(-(((axis - inside[:, c : c + 1]) / widths) ** 2) / 2) for c in (0, 1))
    weighted = np.dstack((displacement * texture[..., None], texture))
    sums = np.einsum("kx,kxc->kc", across, np.tensordot(down, weighted, axes=1))
    mean = sums[:, :2] / (sums[:, 2:] + RESTRAINT * (across.sum(1) * down.sum(1))[:, None])
    return MotionParameters.create(parameters.keypoints - mean, parameters.jacobians).clamped()


def _grey(picture: Image) -> Image:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (COMPARED_PX, COMPARED_PX), interpolation=cv2.INTER_AREA), np.uint8)
