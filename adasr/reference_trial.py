"""Closed loop of the file encoder: it rebuilds frames as the receiver will, and keeps the references that serve best.

Every rebuild uses what the file will say: the decoded key frame, its decoded parameters, the dequantised motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from adasr.clip_analysis import AnalysedClip
from adasr.colour import RgbImage
from adasr.picture_score import FACE_SHARE, PictureScore, face_mask, score_picture
from adasr.progress import ProgressReport
from adasr.reference_choice import choose_references, nearest_references, spread_numbers
from adasr_core.bitstream import MotionCodec, decode_picture, encode_picture
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db
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


class RebuildTrial:
    """Tries references on the frames of one clip. The model needs all its parts."""

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
        with the first candidate and the `tries` nearest in keypoints. Farther ones count as its worst that was tried.
        """
        usable = self._clip.numbers_with_face()
        candidates = spread_numbers(usable, candidate_limit)
        targets = spread_numbers(usable, target_limit)
        pictures = self._read_pictures({*candidates, *targets})
        made = [self._make_reference(number, pictures[number]) for number in candidates]
        parameters = [reference.parameters for reference in made]
        scores: npt.NDArray[np.float64] = np.full((len(candidates), len(targets)), np.nan)
        tried = [
            {0, *nearest_references(self._clip.frames[number].parameters, parameters, tries)} for number in targets
        ]
        for row, reference in enumerate(made):
            features = self._features(reference)
            for column, number in enumerate(targets):
                if row in tried[column]:
                    scores[row, column] = self._score(reference, features, number, pictures[number]).score_db
            progress("choosing references", row + 1, len(made))
        filled = np.where(np.isnan(scores), np.nanmin(scores, axis=0), scores)
        return [made[index] for index in choose_references(filled, count)]

    def assign(
        self, references: Sequence[Reference], *, rebuilds: int, effort: int, progress: ProgressReport
    ) -> list[FrameChoice]:
        """For every frame the reference that rebuilds it best, and its motion as the rebuild wants it.

        Every frame is tried with the `rebuilds` references nearest in keypoints. With `effort` 0 the winner's motion
        stays as the detector found it; with 1 it is corrected by two more rebuilds (`sender.motion_correction`); with
        2 it is then fitted (`sender.motion_fit`).
        """
        features = [self._features(reference) for reference in references]
        parameters = [reference.parameters for reference in references]
        fitted = [
            FitReference(held, reference.parameters, decode_picture(reference.picture_data, self._clip.frame_px))
            for held, reference in zip(features, references, strict=True)
        ]
        corrector = MotionCorrector()
        fit = MotionFit(self._model, self._codec, self._motion_quality, FACE_SHARE)
        choices: list[FrameChoice] = []
        for number, picture in self._clip.pictures():
            frame = self._clip.frames[number]
            mask = face_mask(frame.parameters, self._clip.frame_px)

            def rebuild(
                index: int,
                driving: MotionParameters,
                picture: RgbImage = picture,
                mask: npt.NDArray[np.bool_] = mask,
            ) -> Rebuild:
                made = self._rebuild(references[index], features[index], driving)
                return Rebuild(driving, made, score_picture(picture, made, mask).score_db)

            nearest = nearest_references(frame.parameters, parameters, rebuilds)
            tried = {index: rebuild(index, frame.parameters) for index in nearest}
            best = max(tried, key=lambda index: tried[index].score_db)
            current = choices[-1].reference if choices else best
            if current in tried and tried[best].score_db - tried[current].score_db < _SWITCH_GAIN_DB:
                best = current
            chosen = tried[best]
            # Without a face there is nothing that the keypoints could follow.
            if frame.face_found and effort >= 1:
                chosen = corrector.correct(picture, chosen, partial(rebuild, best))
            if frame.face_found and effort >= 2:
                before = choices[-1].parameters if choices else None
                chosen = fit.fit(picture, mask, fitted[best], chosen, partial(rebuild, best), before)
            choices.append(FrameChoice(best, chosen.parameters))
            progress("choosing per frame", number + 1, len(self._clip.frames))
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
        scores = []
        for number, picture in self._clip.pictures():
            slot = choices[number].reference
            made = self._model.rebuild(features[slot], references[slot].parameters, decoded[number])
            scores.append(psnr_db(picture, made))
            progress("measuring", number + 1, len(self._clip.frames))
        return sum(scores) / len(scores)

    def _rebuild(self, reference: Reference, features: ReferenceFeatures, driving: MotionParameters) -> RgbImage:
        """The picture that the receiver makes."""
        received = self._codec.quantise(driving, reference.parameters, self._motion_quality)
        return self._model.rebuild(features, reference.parameters, received)

    def _score(self, reference: Reference, features: ReferenceFeatures, number: int, picture: RgbImage) -> PictureScore:
        """Score of a frame rebuilt from a reference."""
        driving = self._clip.frames[number].parameters
        rebuilt = self._rebuild(reference, features, driving)
        return score_picture(picture, rebuilt, face_mask(driving, self._clip.frame_px))

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
