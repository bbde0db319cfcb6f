"""A steady square crop around a face.

A crop that follows every small movement makes the background swim and costs bits, so the crop stands perfectly still
while the face stays inside a dead zone. When the face leaves it, the crop glides back with a critically damped spring
and stops. Position and size are judged apart. Coordinates are pixels of the source image, edges at integers.

    face leaves the zone --> gliding (spring towards the averaged face) --> centred again --> locked
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters, SquareCrop

_SLOW_PER_S = 0.06
"""A crop slower than this share of its side a second may stop without a jolt."""


@dataclass(frozen=True, slots=True)
class FacePlace:
    """Where a face is: centre of its face keypoints and their RMS distance from it, in pixels of the source image."""

    centre_x_px: float
    centre_y_px: float
    radius_px: float

    @classmethod
    def measure(cls, parameters: MotionParameters, crop: SquareCrop) -> FacePlace:
        """Place of the face whose keypoints, relative to `crop`, are `parameters`."""
        points = parameters.keypoints[:FACE_KEYPOINTS].astype(np.float64)
        centre = points.mean(axis=0)
        radius = math.sqrt(float(((points - centre) ** 2).sum(axis=1).mean()))
        half_px = crop.size_px / 2
        return cls(
            centre_x_px=crop.centre_x_px + float(centre[0]) * half_px,
            centre_y_px=crop.centre_y_px + float(centre[1]) * half_px,
            radius_px=radius * half_px,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SteeringConfig:
    """How a crop frames and follows a face.

    Lengths are fractions of the crop's side.
    """

    face_radius: float = 0.175
    """RMS radius of the face keypoints that the crop aims at; 0.175 puts a face of about half the crop's height."""
    face_x: float = 0.5
    """Where the centre of the face keypoints should lie, from the left edge."""
    face_y: float = 0.52
    """Where the centre of the face keypoints should lie, from the top edge."""
    pan_zone: float = 0.13
    """The averaged face may be this far from its place before the crop moves."""
    urgent_zone: float = 0.24
    """A face this far off, in one single frame, moves the crop at once."""
    settled: float = 0.015
    """The crop stops when the averaged face is this near to its place, and the present one within three times of it."""
    zoom_zone: float = 0.25
    """The size may be off by this share (natural logarithm of the ratio) before the crop zooms."""
    zoom_settled: float = 0.02
    """Zooming stops at this logarithm of the ratio."""
    average_s: float = 0.25
    """Time constant of the average over the face's place, seconds."""
    glide_s: float = 0.35
    """Time constant of the spring, seconds."""
    urgent_glide_s: float = 0.12
    """The same when the face is at the urgent zone or beyond, seconds; in between it changes gradually."""
    min_size_px: float = 48.0
    """Smallest crop, pixels of the source image."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in (
            "face_radius",
            "pan_zone",
            "urgent_zone",
            "zoom_zone",
            "average_s",
            "glide_s",
            "urgent_glide_s",
            "min_size_px",
        ):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name}: got {value}, expected a positive number")
        if not 0 <= self.settled < self.pan_zone < self.urgent_zone:
            raise ValueError(
                f"settled, pan_zone, urgent_zone: got {self.settled}, {self.pan_zone}, {self.urgent_zone}, "
                "expected 0 <= settled < pan_zone < urgent_zone"
            )
        if not 0 <= self.zoom_settled < self.zoom_zone:
            raise ValueError(f"zoom_settled: got {self.zoom_settled}, expected 0 <= zoom_settled < {self.zoom_zone}")


def frame_face(face: FacePlace, width_px: int, height_px: int, config: SteeringConfig) -> SquareCrop:
    """The crop that frames `face` best inside an image of the given size.

    It never leaves the image: a replicated border is uglier than a face off the centre.
    """
    size = min(max(face.radius_px / config.face_radius, config.min_size_px), float(min(width_px, height_px)))
    return place_face(face, size, width_px, height_px, config)


def place_face(face: FacePlace, size_px: float, width_px: int, height_px: int, config: SteeringConfig) -> SquareCrop:
    """The crop of a given size that holds `face` at its place, moved as little as needed to lie inside the image."""
    return keep_inside(
        SquareCrop(
            centre_x_px=face.centre_x_px + (0.5 - config.face_x) * size_px,
            centre_y_px=face.centre_y_px + (0.5 - config.face_y) * size_px,
            size_px=size_px,
        ),
        width_px,
        height_px,
    )


def keep_inside(crop: SquareCrop, width_px: int, height_px: int) -> SquareCrop:
    """`crop` shrunk and moved as little as needed to lie inside an image of the given size."""
    size = min(crop.size_px, float(min(width_px, height_px)))
    half = size / 2
    return SquareCrop(
        centre_x_px=min(max(crop.centre_x_px, half), width_px - half),
        centre_y_px=min(max(crop.centre_y_px, half), height_px - half),
        size_px=size,
    )


class _Spring:
    """A critically damped spring for one coordinate; the exact solution, so any time step is stable."""

    __slots__ = ("value", "velocity")

    def __init__(self, value: float) -> None:
        self.value = value
        self.velocity = 0.0

    def pull(self, target: float, step_s: float, time_constant_s: float) -> None:
        """Move for `step_s` seconds towards `target`."""
        omega = 2.0 / time_constant_s
        offset = self.value - target
        drift = (self.velocity + omega * offset) * step_s
        decay = math.exp(-omega * step_s)
        self.value = target + (offset + drift) * decay
        self.velocity = (self.velocity - omega * drift) * decay

    def stop(self) -> None:
        """Stand still."""
        self.velocity = 0.0


class CropSteering:
    """Follows one face with a crop. `snap` starts it; `follow` gives the crop for the next frame."""

    def __init__(self, config: SteeringConfig) -> None:
        self._config = config
        self._x = _Spring(0.0)
        self._y = _Spring(0.0)
        self._size = _Spring(1.0)
        self._average: FacePlace | None = None
        self._time = 0.0
        self._panning = False
        self._zooming = False

    @property
    def moving(self) -> bool:
        """Whether the crop is gliding at present."""
        return self._panning or self._zooming

    def snap(self, face: FacePlace, width_px: int, height_px: int, time: float) -> SquareCrop:
        """Frame `face` at once, on whole pixels, and stand still there."""
        target = frame_face(face, width_px, height_px, self._config)
        size = float(min(round(target.size_px), width_px, height_px))
        left = min(max(round(target.centre_x_px - size / 2), 0), width_px - size)
        top = min(max(round(target.centre_y_px - size / 2), 0), height_px - size)
        self._x = _Spring(left + size / 2)
        self._y = _Spring(top + size / 2)
        self._size = _Spring(size)
        self._average = face
        self._time = time
        self._panning = self._zooming = False
        return self._crop()

    def frames(self, face: FacePlace, width_px: int, height_px: int) -> bool:
        """Whether the crop, where it stands, frames `face` well enough to be kept. Only after `snap`."""
        config = self._config
        size = self._size.value
        wanted_px = frame_face(face, width_px, height_px, config).size_px
        placed = place_face(face, size, width_px, height_px, config)
        return abs(math.log(wanted_px / size)) < config.zoom_zone and self._offset(placed) < config.pan_zone * size

    def hold(self, time: float) -> None:
        """No face was seen: stand still, and start a new average at the next one."""
        self._time = time
        self._average = None
        self._panning = self._zooming = False
        for spring in (self._x, self._y, self._size):
            spring.stop()

    def follow(self, face: FacePlace, width_px: int, height_px: int, time: float) -> SquareCrop:
        """The crop for the next frame, `face` being where it was last seen. Seconds; time never runs backward here."""
        config = self._config
        step_s = min(max(time - self._time, 0.0), 0.5)
        self._time = time
        self._average = face if self._average is None else _blend(self._average, face, step_s / config.average_s)
        wanted_px = frame_face(self._average, width_px, height_px, config).size_px
        if abs(math.log(wanted_px / self._size.value)) > config.zoom_zone:
            self._zooming = True
        if self._zooming:
            self._size.pull(wanted_px, step_s, config.glide_s)
            if abs(math.log(wanted_px / self._size.value)) < config.zoom_settled:
                self._zooming = False
                self._size.stop()

        size = self._size.value
        now = place_face(face, size, width_px, height_px, config)
        mean = place_face(self._average, size, width_px, height_px, config)
        # 0 inside the dead zone, 1 beyond the urgent zone: how much to trust this frame alone, and how fast to move.
        urgency = (self._offset(now) / size - config.pan_zone) / (config.urgent_zone - config.pan_zone)
        urgency = min(max(urgency, 0.0), 1.0)
        if urgency == 1.0 or self._offset(mean) > config.pan_zone * size:
            self._panning = True
        if self._panning:
            glide_s = config.glide_s * (config.urgent_glide_s / config.glide_s) ** urgency
            self._x.pull(mean.centre_x_px + urgency * (now.centre_x_px - mean.centre_x_px), step_s, glide_s)
            self._y.pull(mean.centre_y_px + urgency * (now.centre_y_px - mean.centre_y_px), step_s, glide_s)
            slow = max(abs(self._x.velocity), abs(self._y.velocity)) < _SLOW_PER_S * size
            near = self._offset(mean) < config.settled * size and self._offset(now) < 3 * config.settled * size
            if slow and near:
                self._panning = False
                self._x.stop()
                self._y.stop()
        return keep_inside(self._crop(), width_px, height_px)

    def _offset(self, target: SquareCrop) -> float:
        return max(abs(target.centre_x_px - self._x.value), abs(target.centre_y_px - self._y.value))

    def _crop(self) -> SquareCrop:
        return SquareCrop(centre_x_px=self._x.value, centre_y_px=self._y.value, size_px=self._size.value)


def _blend(old: FacePlace, new: FacePlace, steps: float) -> FacePlace:
    """One step of an exponential average, `steps` being the time step in time constants."""
    share = 1.0 - math.exp(-steps)
    return FacePlace(
        centre_x_px=old.centre_x_px + share * (new.centre_x_px - old.centre_x_px),
        centre_y_px=old.centre_y_px + share * (new.centre_y_px - old.centre_y_px),
        radius_px=old.radius_px + share * (new.radius_px - old.radius_px),
    )
