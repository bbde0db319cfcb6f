from __future__ import annotations

import math

import numpy as np
import pytest

from adasr_core.geometry import SquareCrop
from sender.crop_steering import CropSteering, FacePlace, SteeringConfig, frame_face
from tests.sender.poses import crop, pose

WIDTH, HEIGHT = 1280, 720


def face(x: float = 640.0, y: float = 360.0, radius: float = 52.5) -> FacePlace:
    return FacePlace(centre_x_px=x, centre_y_px=y, radius_px=radius)


def inside(square: SquareCrop, width: int = WIDTH, height: int = HEIGHT) -> bool:
    slack = 1e-6
    return (
        square.left_px >= -slack
        and square.top_px >= -slack
        and square.left_px + square.size_px <= width + slack
        and square.top_px + square.size_px <= height + slack
    )


def test_place_of_a_face_is_measured_in_source_pixels() -> None:
    place = FacePlace.measure(pose(x=0.5, y=-0.25), crop(x=320, y=240, size=300))
    assert place.centre_x_px == pytest.approx(320 + 75, abs=1e-3)
    assert place.centre_y_px == pytest.approx(240 - 37.5, abs=1e-3)
    assert place.radius_px == pytest.approx(0.35 * 150, abs=1e-3)


def test_snap_frames_the_face_as_configured_on_whole_pixels() -> None:
    config = SteeringConfig()
    square = CropSteering(config).snap(face(), WIDTH, HEIGHT, time=0.0)
    assert square.size_px == 300
    assert square.left_px.is_integer()
    assert square.top_px.is_integer()
    assert (640 - square.left_px) / square.size_px == pytest.approx(config.face_x, abs=0.01)
    assert (360 - square.top_px) / square.size_px == pytest.approx(config.face_y, abs=0.01)


def test_a_crop_never_leaves_the_image() -> None:
    generator = np.random.default_rng(1)
    for _ in range(300):
        place = face(generator.uniform(-100, 1400), generator.uniform(-100, 800), generator.uniform(5, 400))
        assert inside(frame_face(place, WIDTH, HEIGHT, SteeringConfig()))
        assert inside(CropSteering(SteeringConfig()).snap(place, WIDTH, HEIGHT, time=0.0))


def test_the_crop_stands_perfectly_still_while_a_talking_head_sways() -> None:
    steering = CropSteering(SteeringConfig())
    first = steering.snap(face(), WIDTH, HEIGHT, time=0.0)
    generator = np.random.default_rng(2)
    for frame in range(1, 300):
        time = frame / 30
        sway = 25 * math.sin(2 * math.pi * 0.4 * time)
        noise = generator.normal(0, 1.5, 3)
        place = face(640 + sway + noise[0], 360 + 10 * math.sin(3 * time) + noise[1], 52.5 + noise[2])
        assert steering.follow(place, WIDTH, HEIGHT, time) == first


def test_a_face_that_moves_away_is_followed_smoothly_and_then_the_crop_locks_again() -> None:
    steering = CropSteering(SteeringConfig())
    crops = [steering.snap(face(400), WIDTH, HEIGHT, time=0.0)]
    for frame in range(1, 150):
        time = frame / 30
        crops.append(steering.follow(face(min(400 + 300 * time, 700)), WIDTH, HEIGHT, time))
    x = np.array([square.centre_x_px for square in crops])
    speed = np.diff(x)
    assert abs(x[-1] - 700) < 0.02 * 300 + 1
    assert speed.min() >= -0.5, "no swinging back"
    assert np.abs(np.diff(speed)).max() < 10, "no jolt: the face itself starts with 10 px a frame"
    assert speed.max() < 20, "catching up takes no more than twice the face's own speed"
    assert np.all(speed[-30:] == 0)
    assert not steering.moving
    assert {square.size_px for square in crops} == {300.0}


def test_a_fast_face_never_gets_out_of_the_crop() -> None:
    steering = CropSteering(SteeringConfig())
    square = steering.snap(face(300), WIDTH, HEIGHT, time=0.0)
    for frame in range(1, 60):
        time = frame / 30
        x = min(300 + 600 * time, 900)
        square = steering.follow(face(x), WIDTH, HEIGHT, time)
        assert abs(x - square.centre_x_px) < 0.5 * square.size_px


def test_coming_nearer_zooms_out_once_it_matters() -> None:
    steering = CropSteering(SteeringConfig())
    first = steering.snap(face(), WIDTH, HEIGHT, time=0.0)
    for frame in range(1, 60):
        square = steering.follow(face(radius=52.5 * 1.15), WIDTH, HEIGHT, frame / 30)
    assert square == first
    for frame in range(60, 240):
        square = steering.follow(face(radius=52.5 * 1.6), WIDTH, HEIGHT, frame / 30)
    assert square.size_px == pytest.approx(300 * 1.6, rel=0.03)
    assert not steering.moving


def test_a_face_at_the_edge_does_not_make_the_crop_chase_it_for_ever() -> None:
    steering = CropSteering(SteeringConfig())
    steering.snap(face(700), WIDTH, HEIGHT, time=0.0)
    for frame in range(1, 120):
        square = steering.follow(face(1270), WIDTH, HEIGHT, frame / 30)
        assert inside(square)
    assert not steering.moving
    assert square.left_px + square.size_px == pytest.approx(WIDTH, abs=6)


def test_the_same_motion_at_half_the_frame_rate_ends_at_the_same_place() -> None:
    ends = []
    for rate in (15, 30, 60):
        steering = CropSteering(SteeringConfig())
        steering.snap(face(400), WIDTH, HEIGHT, time=0.0)
        for frame in range(1, 3 * rate):
            square = steering.follow(face(520), WIDTH, HEIGHT, frame / rate)
        ends.append(square.centre_x_px)
    assert max(ends) - min(ends) < 0.02 * 300


def test_a_gap_without_a_face_leaves_the_crop_where_it_is() -> None:
    steering = CropSteering(SteeringConfig())
    first = steering.snap(face(), WIDTH, HEIGHT, time=0.0)
    steering.hold(1.0)
    assert steering.follow(face(645), WIDTH, HEIGHT, 2.0) == first
    assert steering.frames(face(645), WIDTH, HEIGHT)
    assert not steering.frames(face(740), WIDTH, HEIGHT)
    assert not steering.frames(face(radius=90), WIDTH, HEIGHT)


@pytest.mark.parametrize("bad", [{"pan_zone": 0.3}, {"settled": 0.2}, {"glide_s": 0.0}, {"zoom_settled": 0.5}])
def test_a_wrong_setting_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SteeringConfig(**bad)
