"""The clip of one person: square frames with the parameters that a sender would detect in them, split along time.

frames  0 ........................ 72 % ...... 80 % ............ 100 %
        fit: trained on            | choose:   | held out: measured, once, at the end
                                   | says when to stop
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.engines import FaceModel
from adasr_core.geometry import FACE_KEYPOINTS, MotionParameters

Image = npt.NDArray[np.uint8]

FIT_SHARE, CHOOSE_SHARE = 0.72, 0.08
"""Shares of the clip that are trained on and that say when to stop; the rest is held out."""
_LEAST_CONFIDENCE = 0.2  # as the sender's tracker: below it a frame counts as one without a face
_LEAST_FRAMES = 40


@dataclass(frozen=True, slots=True)
class Footage:
    """Frames of one person in the order of time.

    frames: uint8 [N, S, S, 3] RGB. parameters: of each frame, not quantised. numbers: frame numbers in the clip.
    without_face: frames that were read and left out.
    """

    frames: npt.NDArray[np.uint8]
    parameters: tuple[MotionParameters, ...]
    numbers: tuple[int, ...]
    without_face: int

    @property
    def fit(self) -> range:
        """Indices to train on."""
        return range(round(FIT_SHARE * len(self.numbers)))

    @property
    def choose(self) -> range:
        """Indices that say when to stop."""
        return range(self.fit.stop, round((FIT_SHARE + CHOOSE_SHARE) * len(self.numbers)))

    @property
    def held_out(self) -> range:
        """Indices that are measured and nothing else."""
        return range(self.choose.stop, len(self.numbers))


def read_footage(path: Path, model: FaceModel, most_frames: int = 600) -> Footage:
    """Decode at most `most_frames` frames, evenly spread, and detect the face in each with the codec's own detector.

    Raises:
        ValueError: not a video, not square, or too few frames with a face in it.
        OSError: the file cannot be read.
    """
    size = model.frame_px
    images, parameters, numbers = [], [], []
    without_face = 0
    for number, image in _spread_frames(path, most_frames):
        if image.shape[0] != image.shape[1]:
            raise ValueError(
                f"{path}: got {image.shape[1]}x{image.shape[0]} pixels, expected a square around the face; "
                f"cut it out first with: adasr train prepare {path} --out DIR"
            )
        shrinks = image.shape[0] > size
        square = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        small = cv2.resize(square, (model.detector_px, model.detector_px), interpolation=cv2.INTER_AREA)
        found = model.detect(np.asarray(small, np.uint8))
        if found.confidence[:FACE_KEYPOINTS].mean() < _LEAST_CONFIDENCE:
            without_face += 1
            continue
        images.append(np.asarray(square, np.uint8))
        parameters.append(found.parameters.clamped())
        numbers.append(number)
    if len(images) < _LEAST_FRAMES:
        raise ValueError(
            f"{path}: got {len(images)} frames with a face ({without_face} without), expected at least "
            f"{_LEAST_FRAMES}; give a longer clip, best a minute, with one face framed as in a call"
        )
    return Footage(np.stack(images), tuple(parameters), tuple(numbers), without_face)


def _spread_frames(path: Path, most: int) -> list[tuple[int, Image]]:
    """At most `most` frames with their numbers, evenly spread over the clip, RGB."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: no video track in it; give a video clip of the person")
            count = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
        wanted = set(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist())
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            return [
                (number, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
                for number, frame in enumerate(container.decode(stream))
                if number in wanted
            ]
    except av.FFmpegError as error:
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ValueError(f"{path}: not a video that can be read ({error.strerror}); give a video clip") from error
