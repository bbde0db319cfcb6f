"""First pass over a video: where scenes change, and where faces are about eight times a second."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from training.prepare.face_boxes import SEARCH_SIDE_PX, FaceFinder
from training.prepare.settings import PrepareSettings
from training.prepare.shots import FrameNote
from training.prepare.video_source import Picture, VideoSource

_THUMBNAIL_PX = 64
_BINS = 6
CUT_DIFFERENCE = 18.0
"""A cut changes the thumbnail by at least this mean absolute difference, of 255."""
CUT_HISTOGRAM = 0.3
"""And at least this share of its pixels moves to another colour bin, 0 to 1."""


class CutDetector:
    """Tells a new scene by its thumbnail: the picture and its colours both change within one frame.

    Either alone would take a gesture before the camera (picture) or a flash (colours) for a cut.
    """

    def __init__(self) -> None:
        self._thumbnail: npt.NDArray[np.int16] | None = None
        self._histogram: npt.NDArray[np.float32] | None = None

    def is_cut(self, thumbnail: Picture) -> bool:
        """Whether a scene begins with this picture; the first picture of all begins none."""
        pixels = thumbnail.astype(np.int16)
        histogram = cv2.calcHist([thumbnail], [0, 1, 2], None, [_BINS] * 3, [0, 256] * 3).astype(np.float32)
        histogram /= thumbnail.shape[0] * thumbnail.shape[1]
        before, colours = self._thumbnail, self._histogram
        self._thumbnail, self._histogram = pixels, histogram
        if before is None or colours is None:
            return False
        difference = float(np.abs(pixels - before).mean())
        moved = float(np.abs(histogram - colours).sum()) / 2
        return difference >= CUT_DIFFERENCE and moved >= CUT_HISTOGRAM


def analyse(
    video: VideoSource,
    finder: FaceFinder,
    settings: PrepareSettings,
    *,
    start_s: Fraction = Fraction(0),
    end_s: Fraction | None = None,
) -> Iterator[FrameNote]:
    """Every frame of a span with its time, whether a scene begins with it, and at some of them the faces.

    Raises:
        VideoSourceError: the video is damaged.
    """
    cuts = CutDetector()
    # A little early rather than a whole frame late.
    period_s = Fraction(9, 10) / Fraction(settings.searches_per_s)
    searched_s: Fraction | None = None
    for frame in video.frames(start_s, end_s):
        cut = cuts.is_cut(frame.reduced(_THUMBNAIL_PX))
        faces = None
        if cut or searched_s is None or frame.time_s - searched_s >= period_s:
            searched_s = frame.time_s
            picture = frame.reduced(SEARCH_SIDE_PX)
            faces = finder.find(picture, width_px=video.width_px, height_px=video.height_px)
        yield FrameNote(frame.time_s, cut, faces)
