"""``adasr animate``: a portrait driven by the face of a video.

::

    portrait --> face, 512x512 --> encoder (once), parameters --------+
    driver --> face and parameters of every frame --> transfer --> rebuild --> mp4, the driver's sound
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from adasr.clip_analysis import FRAMED_FACE_WIDTH, AnalysedClip, analyse_clip, face_width
from adasr.colour import RgbImage
from adasr.motion_transfer import RelativeTransfer, nearest_pose
from adasr.partial_file import check_distinct, check_writable, partial_file
from adasr.progress import ProgressReport, no_progress
from adasr.steady_detection import detect_steadily
from adasr.video_file import open_video
from adasr.video_writer import check_audio, write_mp4
from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.geometry import MotionParameters
from sender.tracker import CropMode, FaceTracker, TrackedFace, TrackerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class AnimateOptions:
    """How a portrait is driven."""

    relative: bool = True
    """Take over the driver's motion from its start frame on (True), or its keypoints as they are."""
    start_frame: int | None = None
    """Number of the driver's frame that shows the portrait's pose and expression; None finds the nearest."""
    keep_audio: bool = True
    """Whether the driver's sound goes along."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if self.start_frame is not None and self.start_frame < 0:
            raise ValueError(f"best frame: got {self.start_frame}, expected a frame's number, 0 or more")
        if self.start_frame is not None and not self.relative:
            raise ValueError("best frame: with absolute keypoints no frame is a start; leave --best-frame out")


@dataclass(frozen=True, slots=True)
class AnimationResult:
    """What `animate_file` did.

    frames: written. start_frame: driver's frame taken for the portrait's pose, None with absolute keypoints. scale:
    size of the portrait's face over the driver's, 1 with absolute keypoints. frames_without_face: of the driver; they
    repeat the motion before.
    """

    frames: int
    start_frame: int | None
    scale: float
    frames_without_face: int


def animate_file(
    portrait: Path,
    driver: Path,
    output: Path,
    bundle: ModelBundle,
    options: AnimateOptions,
    *,
    engine: EngineName = "openvino",
    progress: ProgressReport = no_progress,
) -> AnimationResult:
    """Write the driver's video with the portrait's face: same number of frames at the same times.

    Args:
        portrait: a picture of any size with one face.
        driver: a video of any size with one face.
        output: the mp4 file; it appears when it is complete.
        bundle: the model.
        options: how to drive.
        engine: what runs the networks.
        progress: told how far the work is.

    Raises:
        ValueError: not a picture, not a video, no face in one of them, no such start frame, or sound that an mp4 cannot
            carry.
        OSError: a file cannot be read or written.
        EngineError: the engine is not there.
    """
    image = read_portrait(portrait)
    video = open_video(driver)
    check_distinct(portrait, output)
    check_distinct(driver, output)
    check_writable(output)
    audio = video.read_audio() if options.keep_audio else None
    if audio is not None:
        check_audio(audio.stream)
    model = FaceModel.load(bundle, engine=engine)
    face = find_portrait_face(image, model)
    if face is None:
        raise ValueError(
            f"{portrait}: no face found in the portrait: a face must be seen from the front, upright and at least "
            "about 60 pixels wide"
        )
    reference = detect_steadily(model, face.picture, face.detection.parameters).clamped()
    features = model.encode(face.picture)
    clip = analyse_clip(video, model, None, progress)
    start = _start_frame(clip, reference, options, driver)
    transfer = None if start is None else RelativeTransfer.between(reference, clip.frames[start].parameters)
    with (
        partial_file(output) as temporary,
        write_mp4(
            temporary,
            width_px=clip.frame_px,
            height_px=clip.frame_px,
            frame_rate=video.frame_rate,
            audio=audio,
        ) as writer,
    ):
        for number, frame in enumerate(clip.frames):
            driving = frame.parameters if transfer is None else transfer(frame.parameters)
            writer.write(model.rebuild(features, reference, driving), frame.ticks)
            progress("rebuilding", number + 1, len(clip.frames))
    return AnimationResult(
        frames=len(clip.frames),
        start_frame=start,
        scale=1.0 if transfer is None else transfer.scale,
        frames_without_face=sum(not frame.face_found for frame in clip.frames),
    )


def _start_frame(clip: AnalysedClip, reference: MotionParameters, options: AnimateOptions, driver: Path) -> int | None:
    """Number of the driver's start frame; None with absolute keypoints. Raises ValueError for one that is not there."""
    if not options.relative:
        return None
    if options.start_frame is None:
        numbers = clip.numbers_with_face()
        return numbers[nearest_pose(reference, [clip.frames[number].parameters for number in numbers])]
    if options.start_frame >= len(clip.frames):
        raise ValueError(
            f"best frame: got {options.start_frame}, expected below {len(clip.frames)}, the frames of {driver}"
        )
    if not clip.frames[options.start_frame].face_found:
        raise ValueError(f"best frame: no face in frame {options.start_frame} of {driver}; name another one")
    return options.start_frame


def read_portrait(path: Path) -> RgbImage:
    """Read a picture file, upright as its camera says: uint8 [H, W, 3] RGB.

    Raises:
        ValueError: not a picture that Pillow reads.
        OSError: the file cannot be read.
    """
    data = path.open("rb")
    with data:
        try:
            with Image.open(data) as picture:
                return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8).copy()
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: not a picture that can be read ({error}); give a JPEG or PNG file") from error


def find_portrait_face(image: RgbImage, model: FaceModel) -> TrackedFace | None:
    """The portrait's face and its 512x512 picture: whole where it is framed already, else cropped; None without one."""
    if image.shape[0] == image.shape[1]:
        whole = FaceTracker(model, TrackerConfig(mode=CropMode.FULL)).locate(image, 0.0)
        if whole is not None and face_width(whole.detection.parameters) >= FRAMED_FACE_WIDTH:
            return whole
    return FaceTracker(model, TrackerConfig(search_detections=None)).locate(image, 0.0)
