"""The face in every frame: a steady crop, its 512x512 picture and its keypoints.

One detection a frame while the face is tracked: the crop of frame n is steered by the keypoints of frame n - 1. When
the detector is unsure for a few frames, the face counts as lost and a search within a fixed budget of detections
begins; the crop stands still meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.engines import Detection, FaceModel
from adasr_core.geometry import SquareCrop, extract_crop
from sender.crop_steering import CropSteering, FacePlace, SteeringConfig
from sender.face_search import FaceSearch, SearchConfig, face_confidence

Image = npt.NDArray[np.uint8]


class CropMode(Enum):
    """What part of the image is sent."""

    FACE = "face"
    FULL = "full"
    """The largest centred square, without steering: for clips that are framed already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerConfig:
    """How a face is followed."""

    mode: CropMode = CropMode.FACE
    """Follow the face, or take the whole square."""
    steering: SteeringConfig = field(default_factory=SteeringConfig)
    """Framing and smoothness of the crop."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """How to look for a face."""
    kept_confidence: float = 0.2
    """Mean confidence of the face keypoints below which a frame counts as one without a face."""
    lost_after_frames: int = 4
    """So many frames without a face in a row start a search."""
    search_detections: int | None = 5
    """Detections a frame while searching, beside the one for the crop; None scans the whole image in every frame."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 < self.kept_confidence <= self.search.found_confidence:
            raise ValueError(
                f"kept_confidence: got {self.kept_confidence}, expected above 0 and at most "
                f"search.found_confidence = {self.search.found_confidence}"
            )
        if self.lost_after_frames < 1:
            raise ValueError(f"lost_after_frames: got {self.lost_after_frames}, expected at least 1")
        if self.search_detections is not None and self.search_detections < 1:
            raise ValueError(f"search_detections: got {self.search_detections}, expected at least 1 or None")


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """A face in one frame.

    crop: in the source image. detection: keypoints and Jacobians in coordinates of the crop. picture: uint8
    [512, 512, 3] RGB, what the crop shows. confidence: mean over the face keypoints, 0 to 1. found_anew: a search
    placed the crop anew in this frame.
    """

    crop: SquareCrop
    detection: Detection
    picture: Image
    confidence: float
    found_anew: bool


class FaceTracker:
    """Finds a face and follows it through a video."""

    def __init__(self, model: FaceModel, config: TrackerConfig | None = None) -> None:
        self._model = model
        self._config = config if config is not None else TrackerConfig()
        self._steering = CropSteering(self._config.steering)
        self._search = FaceSearch(model, self._config.search, self._config.steering)
        self._crop: SquareCrop | None = None
        self._seen: FacePlace | None = None
        self._image_px: tuple[int, int] = (0, 0)
        self._missing_frames = 0
        self._searching = True

    @property
    def crop(self) -> SquareCrop | None:
        """The crop of the last frame in which a face was tracked or just missed; None before the first face."""
        return self._crop

    @property
    def crop_moving(self) -> bool:
        """Whether the crop is gliding to a new place."""
        return self._steering.moving

    @property
    def searching(self) -> bool:
        """Whether the face is lost, or was never found."""
        return self._searching

    def locate(self, image: Image, time: float) -> TrackedFace | None:
        """The face in `image` (uint8 [H, W, 3] RGB) captured at `time` (seconds), or None when none is seen.

        Raises ValueError for an image of another form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 16:
            raise ValueError(
                f"image: got {image.dtype} {image.shape}, expected uint8 [H, W, 3] RGB of at least 16 x 16 pixels"
            )
        height, width = image.shape[:2]
        if self._image_px != (width, height):
            self._image_px = (width, height)
            self._lose(last=None)
            self._crop = None
        if self._config.mode is CropMode.FULL:
            return self._locate_full(image, SquareCrop.whole(image))

        found_anew = False
        if self._searching:
            place = self._find(image)
            if place is None:
                return None
            if self._crop is None or not self._steering.frames(place, width, height):
                self._crop = self._steering.snap(place, width, height, time)
                found_anew = True
        elif self._seen is not None:
            self._crop = self._steering.follow(self._seen, width, height, time)
        else:
            self._steering.hold(time)
        assert self._crop is not None  # a face that is tracked has a crop
        face = self._detect(image, self._crop, found_anew)
        if face.confidence < self._config.kept_confidence:
            self._seen = None
            self._missing_frames += 1
            if self._missing_frames >= self._config.lost_after_frames:
                self._lose(last=self._crop)
            return None
        self._searching = False
        self._missing_frames = 0
        self._seen = FacePlace.measure(face.detection.parameters, self._crop)
        return face

    def _locate_full(self, image: Image, square: SquareCrop) -> TrackedFace | None:
        self._crop = square
        face = self._detect(image, square, self._searching)
        if face.confidence < self._config.kept_confidence:
            self._missing_frames += 1
            self._searching = self._searching or self._missing_frames >= self._config.lost_after_frames
            return None
        self._missing_frames = 0
        self._searching = False
        return face

    def _find(self, image: Image) -> FacePlace | None:
        budget = self._config.search_detections
        if budget is not None:
            return self._search.look(image, budget)
        self._search.restart(self._crop)
        return self._search.look(image, 10_000)

    def _lose(self, *, last: SquareCrop | None) -> None:
        self._searching = True
        self._seen = None
        self._missing_frames = 0
        self._search.restart(last)

    def _detect(self, image: Image, crop: SquareCrop, found_anew: bool) -> TrackedFace:
        picture = extract_crop(image, crop, self._model.frame_px)
        side = self._model.detector_px
        small = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        detection = self._model.detect(small)
        return TrackedFace(
            crop=crop,
            detection=detection,
            picture=picture,
            confidence=face_confidence(detection),
            found_anew=found_anew,
        )
