"""Finding a face anywhere in an image with the keypoint detector alone.

The detector only knows faces that fill a good part of its square, so the image is scanned with squares of a few
sizes, the largest and most central first. A square in which the detector is not sure of nothing is a hint: the next
square is framed around what it saw, and when the detector is then sure, the face is found. Every detection counts
against the budget of the frame; the scan goes on where it stopped in the next frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.engines import Detection, FaceModel
from adasr_core.geometry import FACE_KEYPOINTS, SquareCrop, extract_crop
from sender.crop_steering import FacePlace, SteeringConfig, frame_face, keep_inside

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """How to look for a face."""

    scales: tuple[float, ...] = (1.0, 0.7, 0.5, 0.36)
    """Sides of the scanned squares as shares of the image's short side, largest first."""
    stride: float = 0.4
    """Distance of neighbouring squares as a share of their side."""
    hint_confidence: float = 0.07
    """Mean confidence of the face keypoints from which a square is worth a closer look."""
    found_confidence: float = 0.4
    """Mean confidence of the face keypoints, in a well framed square, that counts as a face."""
    closer_looks: int = 3
    """How often one hint is framed anew before it is given up."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise ValueError(f"scales: got {self.scales}, expected shares of the short side in (0, 1]")
        if not 0.05 <= self.stride <= 1:
            raise ValueError(f"stride: got {self.stride}, expected 0.05 to 1")
        if not 0 < self.hint_confidence <= self.found_confidence < 1:
            raise ValueError(
                f"hint_confidence, found_confidence: got {self.hint_confidence}, {self.found_confidence}, "
                "expected 0 < hint_confidence <= found_confidence < 1"
            )
        if self.closer_looks < 1:
            raise ValueError(f"closer_looks: got {self.closer_looks}, expected at least 1")


def face_confidence(detection: Detection) -> float:
    """Mean confidence of the face keypoints, 0 to 1."""
    return float(detection.confidence[:FACE_KEYPOINTS].mean())


def scan_squares(width_px: int, height_px: int, config: SearchConfig) -> list[SquareCrop]:
    """The squares to scan: by size, largest first; among equals the most central first, slightly above the middle."""
    short_px = min(width_px, height_px)
    squares: list[SquareCrop] = []
    for scale in config.scales:
        size = round(scale * short_px)
        xs = _centres(width_px, size, config.stride)
        ys = _centres(height_px, size, config.stride)
        ring = [SquareCrop(centre_x_px=x, centre_y_px=y, size_px=float(size)) for y in ys for x in xs]
        ring.sort(key=lambda s: (s.centre_x_px - width_px / 2) ** 2 + (s.centre_y_px - 0.45 * height_px) ** 2)
        squares.extend(ring)
    return squares


def _centres(length_px: int, size_px: int, stride: float) -> list[float]:
    """Centres along one axis, on whole pixels, which makes cutting a square out a plain copy."""
    free_px = length_px - size_px
    steps = math.ceil(free_px / (stride * size_px))
    return [size_px / 2 + round(free_px * i / steps) for i in range(steps + 1)] if steps else [size_px / 2]


class FaceSearch:
    """A search that may spread over several frames. `look` spends a budget of detections on one frame."""

    def __init__(self, model: FaceModel, config: SearchConfig, steering: SteeringConfig) -> None:
        self._model = model
        self._config = config
        self._steering = steering
        self._size_px: tuple[int, int] = (0, 0)
        self._queue: Iterator[SquareCrop] = iter(())
        self._hints: list[tuple[SquareCrop, int]] = []
        self._last: SquareCrop | None = None

    def restart(self, last: SquareCrop | None = None) -> None:
        """Begin anew. Every frame is first searched where the face was last seen, when that is known."""
        self._size_px = (0, 0)
        self._queue = iter(())
        self._hints = []
        self._last = last

    def look(self, image: Image, budget: int) -> FacePlace | None:
        """Spend at most `budget` detections on `image` (uint8 [H, W, 3]). The face, or None for "not yet"."""
        height, width = image.shape[:2]
        if self._size_px != (width, height):
            self._size_px = (width, height)
            self._queue = iter(scan_squares(width, height, self._config))
        for turn in range(budget):
            square: SquareCrop | None
            if self._hints:
                square, looks = self._hints.pop()
            elif turn == 0 and self._last is not None:
                square, looks = self._last, 0
            else:
                square, looks = next(self._queue, None), 0
            if square is None:
                self._queue = iter(scan_squares(width, height, self._config))
                return None
            found = self._examine(image, keep_inside(square, width, height), looks)
            if found is not None:
                return found
        return None

    def _examine(self, image: Image, square: SquareCrop, looks: int) -> FacePlace | None:
        height, width = image.shape[:2]
        detection = self._model.detect(extract_crop(image, square, self._model.detector_px))
        confidence = face_confidence(detection)
        if confidence < self._config.hint_confidence:
            return None
        place = FacePlace.measure(detection.parameters, square)
        framed = frame_face(place, width, height, self._steering)
        if confidence >= self._config.found_confidence and _agree(square, framed):
            return place
        if looks < self._config.closer_looks:
            self._hints.append((framed, looks + 1))
        return None


def _agree(seen: SquareCrop, framed: SquareCrop) -> bool:
    """Whether a square is near enough to the frame around what was seen in it for the detection to be trusted."""
    offset_px = max(abs(seen.centre_x_px - framed.centre_x_px), abs(seen.centre_y_px - framed.centre_y_px))
    return offset_px < 0.2 * framed.size_px and 0.65 < seen.size_px / framed.size_px < 1.55
