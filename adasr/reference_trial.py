"""Closed loop of the file encoder: it rebuilds frames as the receiver will, and keeps the references that serve best.

Every rebuild uses what the file will say: the decoded key frame, its decoded parameters, the dequantised motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adasr.clip_analysis import AnalysedClip, AnalysedFrame
from adasr.colour import RgbImage
from adasr.ordered_work import in_order
from adasr.picture_score import FACE_SHARE, face_mask, score_picture
from adasr.progress import ProgressReport
from adasr.reference_choice import choose_references, likeliest_references, spread_numbers
from adasr_core.bitstream import MotionCodec, decode_picture, encode_picture
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db
from sender.look import Look, loss_matrix_db
from sender.motion_correction import MotionCorrector, Rebuild
from sender.motion_fit import FitReference, MotionFit

MAX_EFFORT = 2
"""See `RebuildTrial.assign`."""

# Another reference changes the look of the whole picture a little; a gain below this is not worth the flicker.
_SWITCH_GAIN_DB = 0.1


@dataclass(frozen=True, slots=True)
class Reference:
    """A frame as a reference.

    number: of the frame. parameters_data, picture_data: as they go into its packet. parameters: decoded from
    `parameters_data`.
    """

    number: int
    parameters_data: bytes
    picture_data: bytes
    parameters: MotionParameters


@dataclass(frozen=True, slots=True)
class FrameChoice:
    """What a frame is rebuilt from.

    reference: index of a reference. parameters: what is sent, before quantisation.
    """

    reference: int
    parameters: MotionParameters


@dataclass(frozen=True, slots=True)
class _BankedReference:
    """A reference with all that trying it takes; `features` and `look` are of its decoded picture."""

    reference: Reference
    features: ReferenceFeatures
    look: Look
    fitted: FitReference


@dataclass(frozen=True, slots=True)
class _TriedFrame:
    """A frame and its rebuilds from some references, by their index. mask: bool [S, S], its face."""

    frame: AnalysedFrame
    picture: RgbImage
    mask: npt.NDArray[np.bool_]
    made: dict[int, Rebuild]


class RebuildTrial:
    """Tries references on the frames of one clip, as many at once as the model has streams. It needs all its parts."""

    def __init__(
        self, clip: AnalysedClip, model: FaceModel, codec: MotionCodec, picture_quality: int, motion_quality: int
    ) -> None:
        self._clip = clip
        self._model = model
        self._codec = codec
        self._picture_quality = picture_quality
        self._motion_quality = motion_quality

    def first_reference(self) -> Reference:
        """The first frame that shows the face, as the only key frame."""
        number = self._clip.numbers_with_face()[0]
        return self._make_reference(number, self._read_pictures({number})[number])

    def choose(
        self, count: int, *, candidate_limit: int, target_limit: int, tries: int, progress: ProgressReport
    ) -> list[Reference]:
        """Choose up to `count` references for the whole clip; the first frame with a face is always the first.

        Up to `candidate_limit` frames are tried on up to `target_limit` frames, both spread over the clip, each target
        with the first candidate and the `tries` that look most like it. Others count as its worst that was tried.
        """
        usable = self._clip.numbers_with_face()
        candidates = spread_numbers(usable, candidate_limit)
        targets = spread_numbers(usable, target_limit)
        pictures = self._read_pictures({*candidates, *targets})
        looks = {number: Look.of(pictures[number], self._clip.frames[number].parameters) for number in pictures}
        guessed_db = loss_matrix_db([looks[number] for number in targets], [looks[number] for number in candidates])
        tried = [{0, *likeliest_references(losses, tries)} for losses in guessed_db]

        def row(index: int) -> tuple[Reference, list[float]]:
            reference = self._make_reference(candidates[index], pictures[candidates[index]])
            features = self._features(reference)
            return reference, [
                self._score(reference, features, number, pictures[number]) if index in tried[column] else np.nan
                for column, number in enumerate(targets)
            ]

        made: list[Reference] = []
        rows: list[list[float]] = []
        for reference, scores_db in in_order(row, range(len(candidates)), self._model.streams):
            made.append(reference)
            rows.append(scores_db)
            progress("choosing references", len(rows), len(candidates))
        scores = np.array(rows, np.float64)
        filled = np.where(np.isnan(scores), np.nanmin(scores, axis=0), scores)
        return [made[index] for index in choose_references(filled, count)]

    def assign(
        self, references: Sequence[Reference], *, rebuilds: int, effort: int, progress: ProgressReport
    ) -> list[FrameChoice]:
        """For every frame the reference that rebuilds it best, and its motion as the rebuild wants it.

        Every frame is tried with the references that look most like it, `rebuilds` at most (see
        `likeliest_references`). With `effort` 0 the winner's motion stays as the detector found it; with 1 it is
        corrected by two more rebuilds (`sender.motion_correction`); with 2 it is then fitted (`sender.motion_fit`).
        """
        bank = [self._banked(reference) for reference in references]
        looks = [one.look for one in bank]
        fit = MotionFit(self._model, self._codec, self._motion_quality, FACE_SHARE)

        def tried(item: tuple[int, RgbImage]) -> _TriedFrame:
            number, picture = item
            frame = self._clip.frames[number]
            mask = face_mask(frame.parameters, self._clip.frame_px)
            guessed_db = loss_matrix_db([Look.of(picture, frame.parameters)], looks)[0]
            made = {
                index: self._rebuilt(bank[index], picture, mask, frame.parameters)
                for index in likeliest_references(guessed_db, rebuilds)
            }
            return _TriedFrame(frame, picture, mask, made)

        def chosen(frames: Iterator[_TriedFrame]) -> Iterator[tuple[_TriedFrame, int]]:
            current: int | None = None
            for one in frames:
                best = max(one.made, key=lambda index: one.made[index].score_db)
                if (
                    current is None
                    or current not in one.made
                    or one.made[best].score_db - one.made[current].score_db >= _SWITCH_GAIN_DB
                ):
                    current = best
                yield one, current

        def corrected(item: tuple[_TriedFrame, int]) -> tuple[_TriedFrame, int, Rebuild]:
            one, index = item
            first = one.made[index]
            # Without a face there is nothing that the keypoints could follow.
            if effort == 0 or not one.frame.face_found:
                return one, index, first
            return one, index, MotionCorrector().correct(one.picture, first, self._rebuilds(bank[index], one))

        streams = self._model.streams
        corrections = in_order(corrected, chosen(in_order(tried, self._clip.pictures(), streams)), streams)
        choices: list[FrameChoice] = []
        for one, index, found in corrections:
            if effort >= MAX_EFFORT and one.frame.face_found:
                before = choices[-1].parameters if choices else None
                rebuild = self._rebuilds(bank[index], one)
                found = fit.fit(one.picture, one.mask, bank[index].fitted, found, rebuild, before)
            choices.append(FrameChoice(index, found.parameters))
            progress("choosing per frame", len(choices), len(self._clip.frames))
        return choices

    def measure(
        self,
        references: Sequence[Reference],
        choices: Sequence[FrameChoice],
        decoded: Sequence[MotionParameters],
        progress: ProgressReport,
    ) -> float:
        """Mean PSNR of the whole picture over all frames, dB, rebuilt as the receiver will.

        decoded: every frame's motion as it is coded, after quantisation.
        """
        features = [self._features(reference) for reference in references]

        def measured(item: tuple[int, RgbImage]) -> float:
            number, picture = item
            slot = choices[number].reference
            return psnr_db(picture, self._model.rebuild(features[slot], references[slot].parameters, decoded[number]))

        scores: list[float] = []
        for score_db in in_order(measured, self._clip.pictures(), self._model.streams):
            scores.append(score_db)
            progress("measuring", len(scores), len(self._clip.frames))
        return sum(scores) / len(scores)

    def _banked(self, reference: Reference) -> _BankedReference:
        picture = decode_picture(reference.picture_data, self._clip.frame_px)
        features = self._model.encode(picture)
        return _BankedReference(
            reference,
            features,
            Look.of(picture, reference.parameters),
            FitReference(features, reference.parameters, picture),
        )

    def _rebuilds(self, banked: _BankedReference, one: _TriedFrame) -> Callable[[MotionParameters], Rebuild]:
        return lambda driving: self._rebuilt(banked, one.picture, one.mask, driving)

    def _rebuilt(
        self, banked: _BankedReference, picture: RgbImage, mask: npt.NDArray[np.bool_], driving: MotionParameters
    ) -> Rebuild:
        made = self._rebuild(banked.reference, banked.features, driving)
        return Rebuild(driving, made, score_picture(picture, made, mask).score_db)

    def _rebuild(self, reference: Reference, features: ReferenceFeatures, driving: MotionParameters) -> RgbImage:
        """The picture that the receiver makes."""
        received = self._codec.quantise(driving, reference.parameters, self._motion_quality)
        return self._model.rebuild(features, reference.parameters, received)

    def _score(self, reference: Reference, features: ReferenceFeatures, number: int, picture: RgbImage) -> float:
        """Score of a frame rebuilt from a reference, dB."""
        driving = self._clip.frames[number].parameters
        rebuilt = self._rebuild(reference, features, driving)
        return score_picture(picture, rebuilt, face_mask(driving, self._clip.frame_px)).score_db

    def _make_reference(self, number: int, picture: RgbImage) -> Reference:
        parameters_data = self._codec.encode_reference(self._clip.frames[number].parameters)
        return Reference(
            number=number,
            parameters_data=parameters_data,
            picture_data=encode_picture(picture, self._picture_quality),
            parameters=self._codec.decode_reference(parameters_data),
        )

    def _features(self, reference: Reference) -> ReferenceFeatures:
        return self._model.encode(decode_picture(reference.picture_data, self._clip.frame_px))

    def _read_pictures(self, wanted: set[int]) -> dict[int, RgbImage]:
        """Decode the clip as far as needed and keep the wanted pictures."""
        pictures: dict[int, RgbImage] = {}
        for number, picture in self._clip.pictures():
            if number in wanted:
                pictures[number] = picture
            if len(pictures) == len(wanted):
                break
        return pictures
