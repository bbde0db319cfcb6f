"""Following the face of a shot: the square cut from every frame, its landmarks, and whether the face jumps there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from adasr_core.geometry import SquareCrop, extract_crop
from training.face_mesh import FaceMesh, Landmarks
from training.prepare.shots import Shot
from training.prepare.video_source import Picture, VideoSource

_JUMP = 0.12
"""A jump moves the landmarks, on average, by at least this many heights of the face from one frame to the next; among
170 recorded clips, heads did more than this in six, up to 0.25 in a violent shake."""
_JUMP_TIMES = 4.0
"""And at least so many times as far as the frames before and after it: a shake gathers speed, a cut does not."""
_JUMP_MEMORY = 3
_ALWAYS_A_JUMP = 0.4
"""No head moves by this many heights of the face in 1/25 s."""
_JUMP_RATE_HZ = 25
_OFF_CENTRE = 0.6
"""The mesh belongs to the shot's face when its middle is this near to the box's, in heights of the box."""
_OUTSIDE = 1.02
"""Landmarks may lie this far out of the crop, of half its side."""


@dataclass(frozen=True, slots=True)
class FollowedFrame:
    """One frame of a shot.

    time_s: in the source. picture: uint8 [S, S, 3] RGB, the square. landmarks: over the square; None where the face of
    the shot was not found in it.
    """

    time_s: Fraction
    picture: Picture
    landmarks: Landmarks | None

    def moved_from(self, before: FollowedFrame | None) -> float:
        """Mean movement of the landmarks since another frame, in heights of the face; 0 where one has none."""
        if before is None or before.landmarks is None or self.landmarks is None:
            return 0.0
        distance = np.linalg.norm(self.landmarks[:, :2] - before.landmarks[:, :2], axis=1).mean()
        return float(distance / np.ptp(before.landmarks[:, 1]))


def follow_face(
    video: VideoSource, shot: Shot, crop: SquareCrop, mesh: FaceMesh, *, size_px: int
) -> Iterator[FollowedFrame]:
    """Every frame of a shot, cut to `crop` in `size_px`. Raises VideoSourceError when the video is damaged."""
    for frame in video.frames(shot.start_s, shot.end_s):
        picture = extract_crop(frame.picture(), crop, size_px)
        landmarks = mesh.landmarks(picture)
        if landmarks is not None and not _belongs(landmarks, shot, crop, frame.time_s):
            landmarks = None
        yield FollowedFrame(frame.time_s, picture, landmarks)


def mark_jumps(frames: Iterable[FollowedFrame], *, frame_rate: float) -> Iterator[tuple[FollowedFrame, bool]]:
    """Every frame and whether the face jumps to it, as it does at a cut between two takes of the same view.

    Comes one frame late: a movement that goes on in the next frame is a shake of the head.
    """
    slowness = max(1.0, _JUMP_RATE_HZ / frame_rate)
    earlier: deque[float] = deque(maxlen=_JUMP_MEMORY)
    held: FollowedFrame | None = None
    held_moved = 0.0
    for now in frames:
        moved = now.moved_from(held) / slowness
        if held is not None:
            yield held, _is_jump(held_moved, [*earlier, moved])
            earlier.append(held_moved)
        held, held_moved = now, moved
    if held is not None:
        yield held, _is_jump(held_moved, list(earlier))


def _is_jump(moved: float, around: list[float]) -> bool:
    sudden = moved > _JUMP and moved > _JUMP_TIMES * max(around, default=0.0)
    return sudden or moved > _ALWAYS_A_JUMP


def _belongs(landmarks: Landmarks, shot: Shot, crop: SquareCrop, time_s: Fraction) -> bool:
    """Whether the mesh lies inside the crop and on the face that the shot follows."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    if low.min() < -_OUTSIDE or high.max() > _OUTSIDE:
        return False
    box = shot.box_at(time_s)
    centre = (low + high) / 2 * (crop.size_px / 2) + (crop.centre_x_px, crop.centre_y_px)
    return float(np.linalg.norm(centre - box.centre)) <= _OFF_CENTRE * box.height
