"""Teacher keypoints and Jacobians from face mesh landmarks.

Keypoint k is the mean of a small group of MediaPipe face mesh landmarks. Its Jacobian is the affine map that takes a
mean
face to this face around the keypoint, fitted by weighted least squares and drawn towards the affine map of the whole
face
(the fit of a small group alone is noisy). Both are linear in the landmarks, so the teacher is two constant matrices.

Shapes: N landmarks (478), K face keypoints (34), B batch. Coordinates are [-1, 1] over the square crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr_core.geometry import FACE_KEYPOINTS

Array = npt.NDArray[np.float32]

# MediaPipe face mesh indices; "right" and "left" are the subject's. The order defines the meaning of each keypoint.
LANDMARK_GROUPS: dict[str, tuple[int, ...]] = {
    "right_iris": (468, 469, 470, 471, 472),
    "left_iris": (473, 474, 475, 476, 477),
    "right_upper_lid": (157, 158, 159, 160, 161),
    "right_lower_lid": (144, 145, 153, 154, 163),
    "right_eye_outer": (33, 246, 7, 130),
    "right_eye_inner": (133, 155, 173, 243),
    "left_upper_lid": (384, 385, 386, 387, 388),
    "left_lower_lid": (373, 374, 380, 381, 390),
    "left_eye_outer": (263, 466, 249, 359),
    "left_eye_inner": (362, 382, 398, 463),
    "right_brow_inner": (55, 107, 65, 66),
    "right_brow_outer": (46, 70, 53, 63),
    "left_brow_inner": (285, 336, 295, 296),
    "left_brow_outer": (276, 300, 283, 293),
    "nose_bridge": (168, 6, 197),
    "nose_tip": (1, 4, 5, 195),
    "right_nose_wing": (98, 97, 64, 48, 115),
    "left_nose_wing": (327, 326, 294, 278, 344),
    "upper_lip_outer": (0, 37, 267),
    "upper_lip_inner": (13, 82, 312),
    "lower_lip_inner": (14, 87, 317),
    "lower_lip_outer": (17, 84, 314),
    "right_mouth_corner": (61, 78, 185, 146),
    "left_mouth_corner": (291, 308, 409, 375),
    "chin": (152, 148, 377, 176, 400),
    "right_jaw": (136, 150, 172, 149),
    "left_jaw": (365, 379, 397, 378),
    "right_cheek_edge": (234, 127, 93, 132),
    "left_cheek_edge": (454, 356, 323, 361),
    "right_temple": (54, 103, 21, 67),
    "left_temple": (284, 332, 251, 297),
    "forehead": (10, 109, 338, 151),
    "right_cheek": (50, 205, 101, 36),
    "left_cheek": (280, 425, 330, 266),
}


@dataclass(frozen=True, slots=True)
class Teacher:
    """The constant matrices of the teacher.

    keypoint_weights: float32 [K, N], rows sum to 1. jacobian_weights: float32 [K, 2, N]; the Jacobian's column j is the
    sum over landmarks of jacobian_weights[k, j] times the landmark. mean_face: float32 [N, 2], centred on 0, at the
    size of the average face of the training clips, so that the Jacobian of such a face is near the identity.
    mean_shape: float32 [N, 3], the same with depth: the face whose head pose is zero.
    """

    keypoint_weights: Array
    jacobian_weights: Array
    mean_face: Array
    mean_shape: Array

    @classmethod
    def fit(cls, landmarks: Array, *, radius: float = 0.15, global_share: float = 0.3) -> Teacher:
        """Fit to landmarks [F, N, >=2]. `radius`: Gaussian reach of a local fit; `global_share`: its regulariser."""
        shapes = landmarks[..., :3].astype(np.float64)
        points = shapes[..., :2]
        centred = points - points.mean(axis=1, keepdims=True)
        size = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True) / points.shape[1])
        mean_face = (centred / size).mean(axis=0) * size.mean()
        mean_shape = ((shapes - shapes.mean(axis=1, keepdims=True)) / size).mean(axis=0) * size.mean()
        count = mean_face.shape[0]
        keypoint_weights = np.zeros((FACE_KEYPOINTS, count))
        for k, group in enumerate(LANDMARK_GROUPS.values()):
            keypoint_weights[k, list(group)] = 1.0 / len(group)
        centre = mean_face - mean_face.mean(axis=0)
        global_map = np.linalg.solve(centre.T @ centre, centre.T)
        jacobian_weights = np.zeros((FACE_KEYPOINTS, 2, count))
        for k in range(FACE_KEYPOINTS):
            distance = ((mean_face - keypoint_weights[k] @ mean_face) ** 2).sum(axis=1)
            weight = np.exp(-distance / (2 * radius**2))
            weight /= weight.sum()
            local = mean_face - weight @ mean_face
            moment = (local * weight[:, None]).T @ local
            ridge = global_share * np.trace(moment) / 2 * np.eye(2)
            # A = (X^T W M + ridge A_global)(M^T W M + ridge)^-1, and the weighted mean of X cancels against local.
            solved = np.linalg.inv(moment + ridge)
            jacobian_weights[k] = solved @ ((local * weight[:, None]).T + ridge @ global_map)
        return cls(
            keypoint_weights.astype(np.float32),
            jacobian_weights.astype(np.float32),
            mean_face.astype(np.float32),
            mean_shape.astype(np.float32),
        )

    def __call__(self, landmarks: Array) -> tuple[Array, Array]:
        """Keypoints [B, K, 2] and Jacobians [B, K, 2, 2] (row: image axis, column: mean-face axis) of [B, N, >=2]."""
        xy = landmarks[..., :2]
        keypoints = np.einsum("kn,bni->bki", self.keypoint_weights, xy, optimize=True)
        jacobians = np.einsum("kjn,bni->bkij", self.jacobian_weights, xy, optimize=True)
        return keypoints.astype(np.float32), jacobians.astype(np.float32)

    def head_pose(self, landmarks: Array) -> Array:
        """Yaw, pitch and roll of [B, N, 3] against the mean shape, radians: float32 [B, 3].

        The rotation that fits best (Kabsch), read as Rz(roll) Ry(yaw) Rx(pitch) with x right, y down, z away from the
        camera.
        """
        centred = landmarks - landmarks.mean(axis=1, keepdims=True)
        covariance = np.einsum("bni,nj->bij", centred, self.mean_shape, optimize=True)
        left, _, right = np.linalg.svd(covariance)
        # No mirror image: the last axis turns round where the determinant is negative.
        left[..., -1] *= np.sign(np.linalg.det(left @ right))[:, None]
        rotation = left @ right
        yaw = -np.arcsin(np.clip(rotation[:, 2, 0], -1, 1))
        pitch = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
        roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
        return np.stack((yaw, pitch, roll), axis=-1).astype(np.float32)
