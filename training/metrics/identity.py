"""AED, the average Euclidean distance of face embeddings: whether the rebuilt frame still shows the same person.

Siarohin et al. 2019 take OpenFace's embedding. Any recognition network in ONNX form will do here (OpenFace, ArcFace);
figures compare only under one network. No such network comes with this package.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

Image = npt.NDArray[np.uint8]

_ALIGNED_PX = 112
# Where ArcFace wants eyes, nose tip and mouth corners in its 112 pixels (Deng et al. 2019, points of InsightFace).
_ALIGNED_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
# The same on MediaPipe's mesh: irises, nose tip, mouth corners.
_MESH_POINTS = (468, 473, 4, 61, 291)


class IdentityDistance:
    """Distance between the unit embeddings of two faces: 0 for the same, 1.41 for unrelated ones, 2 at most.

    Args:
        network: ONNX file, one input [1, 3, S, S] (RGB in [-1, 1], S fixed or free) and one embedding out.

    Raises:
        OSError: the file does not exist.
        ValueError: ONNX Runtime does not load it, or its input has another form.
    """

    def __init__(self, network: Path) -> None:
        if not network.is_file():
            raise FileNotFoundError(2, "face recognition network: no such file", str(network))
        try:
            self._session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own classes, which share no public base
            raise ValueError(f"{network}: ONNX Runtime does not load it: {error}") from error
        (entry, *others) = self._session.get_inputs()
        if others or len(entry.shape) != 4 or entry.shape[1] != 3 or entry.type != "tensor(float)":
            raise ValueError(
                f"{network}: input {entry.name} is {entry.type} {entry.shape}, expected float [1, 3, S, S]"
            )
        self._input = entry.name
        self._side = entry.shape[2] if isinstance(entry.shape[2], int) else _ALIGNED_PX

    def __call__(
        self,
        source: Image,
        rebuilt: Image,
        landmarks: npt.NDArray[np.float32],
        rebuilt_landmarks: npt.NDArray[np.float32],
    ) -> float:
        """Distance of two faces, uint8 [S, S, 3] RGB each, with their own landmarks [478, >=2] in [-1, 1]."""
        first, second = self.embed(source, landmarks), self.embed(rebuilt, rebuilt_landmarks)
        return float(np.linalg.norm(first - second))

    def embed(self, picture: Image, landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Unit embedding [D] of the face, turned and scaled to where recognition networks want it."""
        points = (landmarks[list(_MESH_POINTS), :2] + 1) * picture.shape[0] / 2 - 0.5
        matrix, _ = cv2.estimateAffinePartial2D(
            points.astype(np.float32), _ALIGNED_POINTS * (self._side / _ALIGNED_PX), method=cv2.LMEDS
        )
        aligned = cv2.warpAffine(picture, matrix, (self._side, self._side), flags=cv2.INTER_AREA)
        planes = aligned.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        embedding: npt.NDArray[np.float32] = np.asarray(
            self._session.run(None, {self._input: planes})[0], np.float32
        ).reshape(-1)
        return embedding / max(float(np.linalg.norm(embedding)), 1e-12)
