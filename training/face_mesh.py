"""MediaPipe's face mesh: 478 landmarks of a face, irises included.

Landmarks are in the codec's coordinate frame: x right and y down in [-1, 1] over the picture, -1 and 1 being the outer
edges of the first and last pixel (``align_corners=False``); z, the depth, on x's scale, negative towards the camera.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from adasr_core.landmarks import LANDMARKS
from training.mediapipe_runtime import load_solution, without_log

Landmarks = npt.NDArray[np.float32]
"""float32 [478, 3]: x, y, z of one face."""


class FaceMesh:
    """Finds faces and their landmarks, in a video by tracking or in single pictures.

    Use it as a context manager, or call `close`. Not safe for several threads at once.

    Args:
        static_image_mode: True searches every picture anew (stills). False tracks from one picture to the next, which
            is faster and steadier, and searches again when the face is lost.
        max_faces: how many faces are looked for.
        min_confidence: least confidence of the search and of the tracking, 0 to 1.

    Raises:
        MediaPipeMissingError: MediaPipe or a package that it needs is missing; the message says what to install.
        ValueError: an argument is out of range.
    """

    def __init__(self, *, static_image_mode: bool = False, max_faces: int = 1, min_confidence: float = 0.5) -> None:
        if max_faces < 1:
            raise ValueError(f"max_faces: got {max_faces}, expected 1 or more")
        if not 0.0 <= min_confidence <= 1.0:
            raise ValueError(f"min_confidence: got {min_confidence}, expected 0 to 1")
        with without_log():
            self._graph = load_solution("face_mesh", "FaceMesh")(
                static_image_mode=static_image_mode,
                max_num_faces=max_faces,
                refine_landmarks=True,
                min_detection_confidence=min_confidence,
                min_tracking_confidence=min_confidence,
            )
            # The graph loads its networks in threads of its own; one picture waits for them, and for what they log.
            self._graph.process(np.zeros((64, 64, 3), np.uint8))
        self._found_a_face = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks. Further calls do nothing."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def faces(self, image: npt.NDArray[np.uint8]) -> list[Landmarks]:
        """Landmarks of every face in a picture, uint8 [H, W, 3] RGB, in no fixed order.

        Raises:
            ValueError: the picture has another shape or type, or the mesh was closed.
        """
        if self._graph is None:
            raise ValueError("the face mesh is closed; open a new one")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image: got {image.dtype} {image.shape}, expected uint8 [H, W, 3] RGB")
        # The first face makes it log once more.
        with nullcontext() if self._found_a_face else without_log():
            found = self._graph.process(np.ascontiguousarray(image)).multi_face_landmarks or []
        self._found_a_face |= bool(found)
        return [_to_array(face) for face in found]

    def landmarks(self, image: npt.NDArray[np.uint8]) -> Landmarks | None:
        """Landmarks of the first face in a picture, uint8 [H, W, 3] RGB: float32 [478, 3]; None when there is none.

        Raises:
            ValueError: the picture has another shape or type, or the mesh was closed.
        """
        faces = self.faces(image)
        return faces[0] if faces else None


def _to_array(face: Any) -> Landmarks:
    """MediaPipe counts x and y from 0 to 1 over the picture, and z on x's scale."""
    points = np.empty((LANDMARKS, 3), np.float32)
    for row, point in zip(points, face.landmark, strict=True):
        row[:] = point.x * 2 - 1, point.y * 2 - 1, point.z * 2
    return points
