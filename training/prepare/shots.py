"""Shots: stretches of a video in which exactly one face is tracked steadily, each with one fixed square crop.

    frames: . . . . cut . . . . two faces . . . . . . . . . . . face lost
             short^      ^ shot            ^ shot, cut at max_seconds ^

The crop stands still over a shot, as in the preparation of VoxCeleb (Siarohin et al. 2019) and TalkingHead-1KH (Wang
et al. 2021): a square around the union of the face's boxes. Everything here is arithmetic on boxes and times.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from adasr_core.geometry import SquareCrop
from training.prepare.face_boxes import FaceBox
from training.prepare.settings import SIZES_PX, PrepareSettings

_RIVAL_SHARE = 0.4
"""Another face counts when its height is at least this share of the largest one's; smaller ones are bystanders."""
_SAME_FACE_OVERLAP = 0.25
"""From one search to the next a face keeps at least this overlap with itself."""
_MISSED_SEARCHES = 2
"""So many searches in a row may fail (a blink of the detector) before the face counts as lost."""
_FACE_Y = 0.54
"""Where the face's middle lies in the crop, from the top: the hair needs more room than the chin."""
_WHOLE_SHARE = 0.8
"""A crop that would take at least this share of the picture's shorter side takes all of it."""


@dataclass(frozen=True, slots=True)
class FrameNote:
    """What is known of one frame. time_s: seconds from the first. cut: a new scene begins with it.

    faces: the faces in it, the largest first; None where they were not searched for.
    """

    time_s: Fraction
    cut: bool
    faces: tuple[FaceBox, ...] | None


@dataclass(frozen=True, slots=True)
class Shot:
    """One steady face. start_s <= time < end_s; boxes: the face at the searched times, source pixels."""

    start_s: Fraction
    end_s: Fraction
    boxes: tuple[tuple[Fraction, FaceBox], ...]

    def box_at(self, time_s: Fraction) -> FaceBox:
        """The face at the searched time that is nearest."""
        return min(self.boxes, key=lambda entry: abs(entry[0] - time_s))[1]


@dataclass(frozen=True, slots=True)
class ShotSearch:
    """The shots of a video, and for how many seconds it was left out, by reason."""

    shots: tuple[Shot, ...]
    left_out_s: dict[str, float]


def find_shots(
    notes: Iterable[FrameNote], settings: PrepareSettings, *, frame_s: Fraction, region: FaceBox | None = None
) -> ShotSearch:
    """Cut a video into shots.

    Args:
        notes: every frame in order.
        settings: lengths and limits.
        frame_s: duration of the last frame, seconds.
        region: where the wanted face is, source pixels, from a published list. Then the face that overlaps it most is
            taken, and other faces do not matter. None asks for exactly one face.
    """
    builder = _ShotBuilder(settings, region)
    time_s = Fraction(0)
    for note in notes:
        builder.add(note)
        time_s = note.time_s
    builder.close(time_s + frame_s)
    return ShotSearch(tuple(builder.shots), {reason: round(float(s), 3) for reason, s in builder.left_out_s.items()})


def choose_face(faces: tuple[FaceBox, ...], region: FaceBox | None) -> tuple[FaceBox | None, str]:
    """The one face to follow among those of a picture, the largest first, or None and why there is none.

    See `find_shots` for `region`.
    """
    if region is not None:
        near = [face for face in faces if face.overlap(region) > 0]
        return (max(near, key=region.overlap), "") if near else (None, "no face in the listed box")
    if not faces:
        return None, "no face"
    if len(faces) > 1 and faces[1].height >= _RIVAL_SHARE * faces[0].height:
        return None, "several faces"
    return faces[0], ""


class _ShotBuilder:
    """Grows one shot frame by frame and closes it where it must end."""

    def __init__(self, settings: PrepareSettings, region: FaceBox | None) -> None:
        self._settings = settings
        self._region = region
        self.shots: list[Shot] = []
        self.left_out_s: dict[str, Fraction] = {}
        self._boxes: list[tuple[Fraction, FaceBox]] = []
        self._extent: FaceBox | None = None
        self._missed = 0
        self._without_face: tuple[Fraction, str] | None = None

    def add(self, note: FrameNote) -> None:
        """Take the next frame."""
        if note.cut:
            self.close(note.time_s)
        if self._boxes and note.time_s - self._boxes[0][0] >= Fraction(self._settings.max_seconds):
            last = self._boxes[-1][1]
            self.close(note.time_s)
            # The face is still there: the next piece begins with this frame, wherever the next search falls.
            if note.faces is None:
                self._follow(note.time_s, last)
        if note.faces is None:
            return
        face, reason = choose_face(note.faces, self._region)
        if face is None:
            self._missed += 1
            if not self._boxes:
                self._without_face = self._without_face or (note.time_s, reason)
            elif self._missed > _MISSED_SEARCHES:
                # What came after the last sight of the one face is not part of the shot.
                lost_s = self._boxes[-1][0]
                self.close(lost_s)
                self._without_face = (lost_s, reason)
            return
        self._missed = 0
        if self._extent is not None:
            extent = self._extent.union(face)
            heights = statistics.median(box.height for _, box in self._boxes)
            jumped = self._boxes[-1][1].overlap(face) < _SAME_FACE_OVERLAP
            if jumped or max(extent.width, extent.height) > self._settings.travel * heights:
                self.close(note.time_s)
        self._follow(note.time_s, face)

    def close(self, end_s: Fraction) -> None:
        """End at `end_s` the shot that is open, or the stretch that has no face."""
        if self._without_face is not None:
            since_s, reason = self._without_face
            self._leave_out(reason, end_s - since_s)
            self._without_face = None
        if self._boxes:
            start_s = self._boxes[0][0]
            if end_s - start_s < Fraction(self._settings.min_seconds):
                self._leave_out("shot too short", end_s - start_s)
            else:
                self.shots.append(Shot(start_s, end_s, tuple(self._boxes)))
        self._boxes, self._extent, self._missed = [], None, 0

    def _follow(self, time_s: Fraction, face: FaceBox) -> None:
        if not self._boxes:
            self.close(time_s)
        self._boxes.append((time_s, face))
        self._extent = face if self._extent is None else self._extent.union(face)

    def _leave_out(self, reason: str, seconds: Fraction) -> None:
        self.left_out_s[reason] = self.left_out_s.get(reason, Fraction(0)) + seconds


def steady_crop(shot: Shot, settings: PrepareSettings, *, width_px: int, height_px: int) -> SquareCrop | str:
    """The square that holds a shot's face from its first to its last frame, inside the picture, on whole pixels.

    Returns:
        The crop, or why there is none.
    """
    heights = statistics.median(box.height for _, box in shot.boxes)
    if heights < settings.min_face_px:
        return "face too small"
    union = reduce(FaceBox.union, (box for _, box in shot.boxes))
    shorter = min(width_px, height_px)
    side = max(heights / settings.face_share, max(union.width, union.height) * settings.margin)
    # A wider view in full size is worth more than a narrow one in half.
    full = SIZES_PX[0] / settings.max_enlargement
    if side < full <= heights / settings.least_face_share:
        side = full
    side = float(shorter) if side >= _WHOLE_SHARE * shorter else float(2 * math.ceil(side / 2))
    if max(union.width, union.height) > side:
        return "face larger than the picture"
    centre_x, centre_y = union.centre
    left = min(max(round(centre_x - side / 2), 0), width_px - int(side))
    top = min(max(round(centre_y - _FACE_Y * side), 0), height_px - int(side))
    # The detector's boxes may reach a little over the picture's edge; a face that is cut off does.
    slack = 0.1 * heights
    if not (
        union.x0 >= left - slack
        and union.x1 <= left + side + slack
        and union.y0 >= top - slack
        and union.y1 <= top + side + slack
    ):
        return "face cut off by the picture's edge"
    if settings.clip_size_px(side) is None:
        return "too few pixels"
    return SquareCrop(left + side / 2, top + side / 2, side)
