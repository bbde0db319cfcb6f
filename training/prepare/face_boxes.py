"""Finding faces in whole pictures, near and far: MediaPipe's full-range detector on a picture with a margin.

The full-range detector finds faces down to a tenth of a picture's width but misses some that fill it. With a grey
margin of a quarter on every side these look farther away: on the recorded clips it then finds them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from training.mediapipe_runtime import load_solution, without_log
from training.prepare.video_source import Picture

SEARCH_SIDE_PX = 384
"""The longer side of the pictures that are searched; the detector itself looks at 192x192."""
_MARGIN = 0.25
_FULL_RANGE = 1


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face, about from the brows to the chin. Edges in pixels of the source picture."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def centre(self) -> tuple[float, float]:
        """Centre x and y in pixels."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def union(self, other: FaceBox) -> FaceBox:
        """The smallest box around both."""
        return FaceBox(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def overlap(self, other: FaceBox) -> float:
        """Intersection over union, 0 to 1."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.width * self.height + other.width * other.height - shared)


class FaceFinder:
    """Searches single pictures for faces. Use it as a context manager.

    Raises:
        MediaPipeMissingError: MediaPipe is not installed.
    """

    def __init__(self, *, min_confidence: float = 0.5) -> None:
        with without_log():
            solution = load_solution("face_detection", "FaceDetection")
            self._graph = solution(model_selection=_FULL_RANGE, min_detection_confidence=min_confidence)
            # Its network loads in threads of its own; one picture waits for them, and for what they log.
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._graph.close()

    def find(self, picture: Picture, *, width_px: int, height_px: int) -> tuple[FaceBox, ...]:
        """Faces in a reduced `picture` of a source of width_px x height_px, the largest first."""
        height, width = picture.shape[:2]
        down, across = round(height * _MARGIN), round(width * _MARGIN)
        padded = cv2.copyMakeBorder(
            picture, down, down, across, across, cv2.BORDER_CONSTANT, value=(128.0, 128.0, 128.0)
        )
        boxes = []
        for detection in self._graph.process(padded).detections or ():
            box = detection.location_data.relative_bounding_box
            x0 = (box.xmin * (width + 2 * across) - across) / width * width_px
            y0 = (box.ymin * (height + 2 * down) - down) / height * height_px
            box_width = box.width * (width + 2 * across) / width * width_px
            box_height = box.height * (height + 2 * down) / height * height_px
            boxes.append(FaceBox(x0, y0, x0 + box_width, y0 + box_height))
        return tuple(sorted(boxes, key=lambda box: -box.height))
