"""First pass over a clip: what part of each frame is coded, and its motion parameters.

Later passes decode the file again instead of keeping its frames: a minute of 512x512 pictures is 1.2 GB.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from adasr.colour import RgbImage
from adasr.ordered_work import in_order
from adasr.progress import ProgressReport
from adasr.steady_detection import detect_steadily
from adasr.video_file import VideoFile, VideoFileError
from adasr_core.bitstream import TICKS_PER_SECOND
from adasr_core.engines import FaceModel
from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters, SquareCrop, extract_crop
from sender.tracker import CropMode, FaceTracker, TrackedFace, TrackerConfig

FRAMED_FACE_WIDTH = 1 / 3
"""A face at least this wide, as a share of a square clip's side, makes the clip one that is framed already."""

_PROBED_FRAMES = 25
# A file can wait: a search goes through the whole frame at once, about half a second. Where it keeps finding nothing,
# only every tenth frame is searched.
_SEARCHED_IN_A_ROW = 10
_SEARCH_STRIDE = 10


@dataclass(frozen=True, slots=True)
class AnalysedFrame:
    """What the first pass knows of one frame.

    ticks: presentation time, 1/90000 s. crop: the coded square of the source frame. parameters: keypoints and
    Jacobians in crop coordinates. face_found: False where no face was seen; crop and parameters are then those of
    the nearest earlier frame with a face, or of the first one.
    """

    ticks: int
    crop: SquareCrop
    parameters: MotionParameters
    face_found: bool


@dataclass(frozen=True, slots=True)
class AnalysedClip:
    """A clip after the first pass. mode: whole square or face crop. frames: one entry for every frame of the file."""

    video: VideoFile
    mode: CropMode
    frame_px: int
    frames: tuple[AnalysedFrame, ...]

    def numbers_with_face(self) -> list[int]:
        """Numbers of the frames in which the face was seen; never empty."""
        return [number for number, frame in enumerate(self.frames) if frame.face_found]

    def pictures(self) -> Iterator[tuple[int, RgbImage]]:
        """Decode the file again: number and cropped picture, uint8 [frame_px, frame_px, 3] RGB, of every frame.

        Raises:
            VideoFileError: the file has changed since the first pass.
        """
        count = 0
        for source in self.video.frames():
            if source.number >= len(self.frames):
                break
            yield source.number, extract_crop(source.image, self.frames[source.number].crop, self.frame_px)
            count += 1
        if count != len(self.frames):
            raise VideoFileError(
                f"{self.video.path}: {len(self.frames)} frames at the first reading, {count} now: "
                "leave the file alone while it is encoded"
            )


def analyse_clip(
    video: VideoFile, model: FaceModel, mode: CropMode | None, progress: ProgressReport, *, steady: bool = True
) -> AnalysedClip:
    """Track the face through a whole file.

    Args:
        video: the clip.
        model: a model with its detector loaded.
        mode: what to code; None takes a square clip whose face is framed already whole, and crops any other.
        progress: told after every frame.
        steady: detect every frame several times (see `adasr.steady_detection`); a call detects once.

    Raises:
        ValueError: `mode` is FULL and the clip is not square, or no frame shows a face.
        VideoFileError: the file is damaged.
    """
    if mode is CropMode.FULL and video.width_px != video.height_px:
        raise ValueError(
            f"{video.path}: --full needs a square clip, this one is {video.width_px}x{video.height_px}: "
            "leave --full out to crop the face"
        )
    if mode is None:
        mode = CropMode.FULL if _is_framed(video, model) else CropMode.FACE
    frames: list[AnalysedFrame] = []
    waiting: list[int] = []

    def analysed(located: _LocatedFrame) -> tuple[int, AnalysedFrame | None]:
        face = located.face
        if face is None:
            return located.ticks, None
        parameters = face.detection.parameters.clamped()
        if steady:
            parameters = detect_steadily(model, face.picture, parameters).clamped()
        return located.ticks, AnalysedFrame(located.ticks, face.crop, parameters, True)

    results = in_order(analysed, _located(video, model, mode), model.streams)
    for number, (at, frame) in enumerate(results):
        if frame is not None:
            frames.extend(AnalysedFrame(ticks, frame.crop, frame.parameters, False) for ticks in waiting)
            waiting.clear()
            frames.append(frame)
        elif frames:
            frames.append(AnalysedFrame(at, frames[-1].crop, frames[-1].parameters, False))
        else:
            waiting.append(at)
        progress("finding the face", number + 1, video.frames_expected)
    if not frames:
        raise ValueError(
            f"{video.path}: no face found in any of its {len(waiting)} frames: "
            "a face must be seen from the front, upright and at least about 60 pixels wide"
        )
    return AnalysedClip(video, mode, model.frame_px, tuple(frames))


@dataclass(frozen=True, slots=True)
class _LocatedFrame:
    """A frame and the face in it, its keypoints detected once. ticks: presentation time, 1/90000 s."""

    ticks: int
    face: TrackedFace | None


def _located(video: VideoFile, model: FaceModel, mode: CropMode) -> Iterator[_LocatedFrame]:
    """Track the face from frame to frame."""
    tracker = FaceTracker(model, TrackerConfig(mode=mode, search_detections=None))
    missing = 0
    for source in video.frames():
        skipped = mode is CropMode.FACE and missing > _SEARCHED_IN_A_ROW and missing % _SEARCH_STRIDE
        face = None if skipped else tracker.locate(source.image, source.ticks / TICKS_PER_SECOND)
        missing = missing + 1 if face is None else 0
        yield _LocatedFrame(source.ticks, face)


def _is_framed(video: VideoFile, model: FaceModel) -> bool:
    """Whether a clip is square and its first face fills at least a third of the width."""
    if video.width_px != video.height_px:
        return False
    tracker = FaceTracker(model, TrackerConfig(mode=CropMode.FULL))
    for source in video.frames():
        face = tracker.locate(source.image, source.ticks / TICKS_PER_SECOND)
        if face is not None:
            return face_width(face.detection.parameters) >= FRAMED_FACE_WIDTH
        if source.number + 1 >= _PROBED_FRAMES:
            break
    return False


def face_width(parameters: MotionParameters) -> float:
    """Width of the face keypoints' hull as a share of the crop's side."""
    return float(np.ptp(parameters.keypoints[:FACE_KEYPOINTS, 0])) / 2
