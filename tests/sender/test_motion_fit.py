"""Gauss-Newton fit of a frame's motion, with the shipped model."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from adasr.picture_score import FACE_SHARE, face_mask, score_picture
from adasr.sample_pictures import sample_pictures
from adasr_core.bitstream import MotionCodec, decode_picture, encode_picture
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters
from sender.motion_correction import Rebuild
from sender.motion_fit import FIT_PX, NEAR, Effects, FitReference, MotionFit

Image = npt.NDArray[np.uint8]
QUALITY = 2


class Scene:
    """The sample clip's first frame as key frame, and a later one to rebuild."""

    def __init__(self) -> None:
        bundle = open_bundle("edge")
        self.model = FaceModel.load(bundle, threads=1)
        self.codec = MotionCodec(bundle.tables(), self.model.keypoints)
        first, *_, self.source = sample_pictures(8)
        self.reference = self.codec.decode_reference(self.codec.encode_reference(self.detect(first)))
        self.picture = decode_picture(encode_picture(first, 60), 512)
        self.features = self.model.encode(self.picture)
        self.detected = self.detect(self.source)
        self.mask = face_mask(self.detected, 512)

    def detect(self, picture: Image) -> MotionParameters:
        small = np.asarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)
        return self.model.detect(small).parameters

    def rebuild(self, parameters: MotionParameters) -> Rebuild:
        sent = self.codec.quantise(parameters, self.reference, QUALITY)
        made = self.model.rebuild(self.features, self.reference, sent)
        return Rebuild(parameters, made, score_picture(self.source, made, self.mask).score_db)

    def prepared(self) -> FitReference:
        return FitReference(self.features, self.reference, self.picture)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_flow_is_what_moves_the_picture(scene: Scene) -> None:
    still = scene.model.flow(scene.features, scene.reference, scene.reference)
    moved = scene.model.flow(scene.features, scene.reference, scene.detected)
    assert still.shape == (2, 64, 64)
    assert np.abs(still).mean() < np.abs(moved).mean() / 2


def test_transform_and_inverse_agree_on_what_can_be_sent(scene: Scene) -> None:
    sent = scene.codec.quantise(scene.detected, scene.reference, 0)
    again = scene.codec.inverse_transform(scene.codec.transform(sent, scene.reference), scene.reference)
    np.testing.assert_allclose(again.keypoints, sent.keypoints, atol=1e-5)
    np.testing.assert_allclose(again.jacobians, sent.jacobians, atol=1e-4)


def test_the_fit_brings_back_a_motion_that_was_pushed_away(scene: Scene) -> None:
    rng = np.random.default_rng(4)
    coefficients = scene.codec.transform(scene.detected, scene.reference)
    coefficients[:6] += rng.normal(0, 0.04, 6)
    pushed = scene.rebuild(scene.codec.inverse_transform(coefficients, scene.reference))
    fit = MotionFit(scene.model, scene.codec, QUALITY, FACE_SHARE)
    found = fit.fit(scene.source, scene.mask, scene.prepared(), pushed, scene.rebuild)
    assert found.score_db > pushed.score_db + 1.0
    # What the score says holds for what a receiver shows.
    assert scene.rebuild(found.parameters).score_db == pytest.approx(found.score_db)


def test_the_fit_never_returns_worse(scene: Scene) -> None:
    first = scene.rebuild(scene.detected)
    fit = MotionFit(scene.model, scene.codec, QUALITY, FACE_SHARE)
    assert fit.fit(scene.source, scene.mask, scene.prepared(), first, scene.rebuild).score_db >= first.score_db
    perfect = Rebuild(scene.detected, scene.source, 99.0)
    assert fit.fit(scene.source, scene.mask, scene.prepared(), perfect, scene.rebuild) is perfect


def test_effects_are_measured_again_only_when_the_motion_has_gone_far(scene: Scene) -> None:
    """A rebuild that cannot be bettered leaves the fit where it starts, so that only the start decides."""
    fit = MotionFit(scene.model, scene.codec, QUALITY, FACE_SHARE)
    prepared = scene.prepared()

    def fit_at(shift: float) -> Effects | None:
        start = MotionParameters.create(scene.detected.keypoints + np.float32(shift), scene.detected.jacobians)
        fit.fit(scene.source, scene.mask, prepared, Rebuild(start, scene.source, 99.0), scene.rebuild)
        return prepared.effects

    measured = fit_at(0.0)
    assert measured is not None
    assert measured.change.shape == (2, 48, FIT_PX * FIT_PX)
    assert fit_at(NEAR / 4) is measured
    assert fit_at(NEAR * 3) is not measured
