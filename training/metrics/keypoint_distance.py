"""AKD, the average keypoint distance: how far face landmarks of the rebuilt frame lie from those of the source frame.

The same detector looks at both frames in the same way. Two readings are reported, for papers differ:

* `akd_px`: mean Euclidean distance over all 478 points of MediaPipe's face mesh.
* `akd68_l1_px`: mean absolute difference of x and y over 68 points, which is what the script behind the published
  figures computes (Siarohin et al. 2019, "First Order Motion Model", section 4; AliaksandrSiarohin/pose-evaluation,
  cmp.py), there on the 68 points of Bulat and Tzimiropoulos 2017.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Landmarks = npt.NDArray[np.float32]

DLIB_68 = (
    # Contour of the face from the subject's right temple over the chin to the left one.
    *(127, 234, 93, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 323, 454, 356),
    *(70, 63, 105, 66, 107),
    *(336, 296, 334, 293, 300),
    *(168, 197, 5, 4),
    *(75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144),
    *(362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
"""For each of the 68 points of iBUG 300-W (Sagonas et al. 2013; dlib's order) the nearest point of MediaPipe's mesh.

After P. Yan, Mediapipe_2_Dlib_Landmarks (2024), one point where that averages two, mirror images of each other.
"""


@dataclass(slots=True)
class KeypointDistance:
    """Collects the distances of a clip.

    size_px: side of the square frame; distances are in its pixels. missing: frames in which one of the pictures showed
    no face to the detector; they do not enter the means.
    """

    size_px: int
    missing: int = 0
    _euclidean: list[float] = field(default_factory=list)
    _absolute68: list[float] = field(default_factory=list)

    def add(self, source: Landmarks | None, rebuilt: Landmarks | None) -> float | None:
        """Compare landmarks [478, >=2] in [-1, 1], None where no face was found.

        Returns:
            The frame's mean Euclidean distance in pixels, or None without a face.

        Raises:
            ValueError: the shapes differ.
        """
        if source is None or rebuilt is None:
            self.missing += 1
            return None
        if source.shape != rebuilt.shape:
            raise ValueError(f"rebuilt: got shape {rebuilt.shape}, expected {source.shape} as the source has")
        difference = (rebuilt[:, :2].astype(np.float64) - source[:, :2]) * self.size_px / 2
        distance = float(np.linalg.norm(difference, axis=1).mean())
        self._euclidean.append(distance)
        self._absolute68.append(float(np.abs(difference[list(DLIB_68)]).mean()))
        return distance

    @property
    def akd_px(self) -> float | None:
        """Mean Euclidean distance over points and frames; None before the first frame with a face."""
        return float(np.mean(self._euclidean)) if self._euclidean else None

    @property
    def akd68_l1_px(self) -> float | None:
        """Mean absolute difference over coordinates of the 68 points and frames; None like `akd_px`."""
        return float(np.mean(self._absolute68)) if self._absolute68 else None
