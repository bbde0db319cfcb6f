"""Frames between anchors, with the real model on pictures of a face that moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import pytest

from adasr_core.bitstream import AnchorPacket, CodedFrame
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db, sharpness_of
from receiver.anchors import LONGEST_BETWEEN_MS, Anchors
from tests.real_model import Image, edge_model, talking

FRAME_MS = 40
WRAPPING_MS = 65_400
"""Capture time of frame 0: those after frame 3 are beyond 65,536 ms."""


def at(number: int) -> int:
    return WRAPPING_MS + FRAME_MS * number


@cache
def parameters(number: int) -> MotionParameters:
    model = edge_model()
    small = cv2.resize(talking(number), (model.detector_px, model.detector_px), interpolation=cv2.INTER_AREA)
    return model.detect(np.asarray(small, np.uint8)).parameters


def coded(number: int) -> CodedFrame:
    return CodedFrame(
        sequence=number,
        time_ms=at(number) & 0xFFFF,
        slot=0,
        generation=0,
        quality=4,
        coefficients=(),
        parameters=parameters(number),
    )


def packet(number: int) -> AnchorPacket:
    return AnchorPacket(time_ms=at(number) & 0xFFFF, picture=b"not looked at")


def held(*numbers: int, frames: tuple[int, ...] | None = None, model: FaceModel | None = None) -> Anchors:
    """Anchors of a model that refines nothing, whether the shipped one does or not, unless another one is named."""
    anchors = Anchors(edge_model(), refine=False) if model is None else Anchors(model)
    anchors.note_frames(coded(number) for number in (numbers if frames is None else frames))
    for number in numbers:
        anchors.add(packet(number), talking(number))
    return anchors


def drawn(anchors: Anchors, number: int) -> Image:
    picture = anchors.draw(at(number), parameters(number))
    assert picture is not None
    return picture


def test_an_anchors_own_frame_is_its_picture() -> None:
    np.testing.assert_array_equal(drawn(held(0, 8), 8), talking(8))


def test_a_frame_between_two_is_near_its_source() -> None:
    anchors = held(0, 8)
    between = range(1, 8)
    quality = np.mean([psnr_db(drawn(anchors, number), talking(number)) for number in between])
    standing = np.mean([psnr_db(talking(0), talking(number)) for number in between])
    assert quality > standing + 2


def test_it_is_about_as_sharp_as_its_neighbours() -> None:
    assert sharpness_of(drawn(held(0, 8), 4)) > 0.9 * sharpness_of(talking(0))


def test_nothing_is_drawn_without_a_neighbour_on_each_side() -> None:
    anchors = held(0, 8)
    assert anchors.draw(at(9), parameters(9)) is None
    assert anchors.draw(at(-1), parameters(0)) is None
    assert Anchors(edge_model()).draw(at(0), parameters(0)) is None


def test_after_the_last_one_that_is_what_is_rebuilt_from() -> None:
    anchors = held(0, 8)
    picture = anchors.rebuild(at(11), parameters(11))
    assert picture is not None
    assert psnr_db(picture, talking(11)) > psnr_db(talking(8), talking(11)) + 1
    assert anchors.rebuild(at(8) + 1001, parameters(11)) is None


def test_neighbours_too_far_apart_are_none() -> None:
    anchors = Anchors(edge_model())
    late = replace(coded(8), time_ms=(at(0) + LONGEST_BETWEEN_MS + 1) & 0xFFFF)
    anchors.note_frames([coded(0), late])
    anchors.add(packet(0), talking(0))
    anchors.add(AnchorPacket(time_ms=late.time_ms, picture=b"..."), talking(8))
    assert anchors.draw(at(4), parameters(4)) is None


def test_a_reference_is_a_neighbour_but_two_of_them_draw_nothing() -> None:
    model = edge_model()

    def reference(anchors: Anchors, number: int) -> None:
        picture = talking(number)
        anchors.add_reference(at(number) & 0xFFFF, picture, parameters(number), model.encode(picture))

    beside, alone = held(8), Anchors(model)
    reference(beside, 0)
    assert psnr_db(drawn(beside, 4), talking(4)) > 26.5
    reference(alone, 0)
    reference(alone, 8)
    assert alone.draw(at(4), parameters(4)) is None
    assert alone.draw(at(8), parameters(8)) is None, "its parameters may be others than the frame's"
    assert alone.rebuild(at(9), parameters(9)) is None


def test_parameters_may_come_after_the_picture() -> None:
    anchors = held(0, 8, frames=())
    assert anchors.draw(at(4), parameters(4)) is None
    anchors.note_frames([coded(0), coded(8)])
    assert psnr_db(drawn(anchors, 4), talking(4)) > 26.5


def test_a_lost_frames_parameters_are_those_between_its_neighbours() -> None:
    # Frame 8 never came; 6 and 10 did.
    anchors = held(0, 8, frames=(0, 6, 10))
    assert psnr_db(drawn(anchors, 4), talking(4)) > 26.5
    anchors.forget()
    assert anchors.draw(at(4), parameters(4)) is None


def test_the_encoder_runs_once_for_an_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Image] = []
    encode = FaceModel.encode

    def counted(model: FaceModel, picture: Image) -> ReferenceFeatures:
        calls.append(picture)
        return encode(model, picture)

    monkeypatch.setattr(FaceModel, "encode", counted)
    anchors = held(0, 8)
    assert not calls, "not before it is needed"
    for number in (2, 4, 6):
        drawn(anchors, number)
    assert len(calls) == 2


@dataclass
class Watched:
    """A loaded model with a refiner, and what it was asked to refine."""

    model: FaceModel
    asked: list[tuple[Image, Image, float]]


@pytest.fixture
def watched(refined: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> Watched:
    asked: list[tuple[Image, Image, float]] = []
    refine = FaceModel.refine

    def noted(model: FaceModel, earlier: Image, later: Image, weight: float) -> Image:
        asked.append((earlier, later, weight))
        return refine(model, earlier, later, weight)

    monkeypatch.setattr(FaceModel, "refine", noted)
    return Watched(FaceModel.load(refined, threads=1, parts=("encoder", "motion", "generator", "refiner")), asked)


def test_a_refiner_paints_a_frame_between_two(watched: Watched) -> None:
    frame = drawn(held(0, 8, model=watched.model), 2)
    ((earlier, later, weight),) = watched.asked
    assert weight == 0.25
    for warped, number in ((earlier, 0), (later, 8)):
        near, far = (psnr_db(warped, talking(other)) for other in (2, number))
        assert near > far, "both were moved to the moment"
    np.testing.assert_array_equal(frame, watched.model.refine(earlier, later, 0.25))


def test_an_anchors_own_frame_is_refined_once_and_only_when_it_is_shown(watched: Watched) -> None:
    anchors = held(0, 8, model=watched.model)
    drawn(anchors, 4)
    assert len(watched.asked) == 1
    first, again = drawn(anchors, 8), drawn(anchors, 8)
    assert len(watched.asked) == 2
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - talking(8)).mean() > 0.3, "random weights must show"
    earlier, later, weight = watched.asked[1]
    for one in (earlier, later):
        np.testing.assert_array_equal(one, talking(8))
    assert weight == 0.0
    # What is warped stays what was decoded.
    drawn(anchors, 6)
    alone = held(0, 8, model=watched.model)
    drawn(alone, 6)
    for now, before in zip(watched.asked[-2], watched.asked[-1], strict=True):
        np.testing.assert_array_equal(now, before)


def test_the_refiner_can_be_left_out(watched: Watched) -> None:
    mixed = Anchors(watched.model, refine=False)
    mixed.note_frames([coded(0), coded(8)])
    for number in (0, 8):
        mixed.add(packet(number), talking(number))
    np.testing.assert_array_equal(drawn(mixed, 8), talking(8))
    assert np.abs(drawn(mixed, 4).astype(int) - drawn(held(0, 8), 4)).mean() < 0.5
    assert not watched.asked


def test_after_the_last_one_the_generator_rebuilds_as_it_did(watched: Watched) -> None:
    refining, plain = held(0, 8, model=watched.model).rebuild(at(11), parameters(11)), held(0, 8)
    rebuilt = plain.rebuild(at(11), parameters(11))
    assert refining is not None
    assert rebuilt is not None
    assert np.abs(refining.astype(int) - rebuilt).mean() < 0.5
    assert not watched.asked
