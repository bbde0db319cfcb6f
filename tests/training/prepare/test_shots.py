"""Shots and crops from made-up boxes: no pictures, no networks."""

from __future__ import annotations

from fractions import Fraction

import pytest

from training.prepare.face_boxes import FaceBox
from training.prepare.settings import PrepareSettings
from training.prepare.shots import FrameNote, Shot, find_shots, steady_crop

RATE_HZ = 25
FRAME_S = Fraction(1, RATE_HZ)
SETTINGS = PrepareSettings(min_seconds=1.0, max_seconds=4.0)


def face(x: float = 500.0, y: float = 300.0, height: float = 200.0) -> FaceBox:
    """A square box around a centre."""
    return FaceBox(x - height / 2, y - height / 2, x + height / 2, y + height / 2)


def notes(*stretches: tuple[int, tuple[FaceBox, ...]], cuts: tuple[int, ...] = ()) -> list[FrameNote]:
    """Stretches of frames with the same faces, searched in every third frame and at cuts."""
    told = []
    number = 0
    for count, faces in stretches:
        for _ in range(count):
            searched = number % 3 == 0 or number in cuts
            told.append(FrameNote(number * FRAME_S, number in cuts, faces if searched else None))
            number += 1
    return told


def spans(shots: tuple[Shot, ...]) -> list[tuple[float, float]]:
    return [(float(shot.start_s), float(shot.end_s)) for shot in shots]


def test_one_steady_face_is_one_shot_from_the_first_to_the_last_frame() -> None:
    search = find_shots(notes((50, (face(),))), SETTINGS, frame_s=FRAME_S)
    assert spans(search.shots) == [(0.0, 2.0)]
    assert search.left_out_s == {}


def test_a_cut_splits_at_exactly_its_frame() -> None:
    search = find_shots(notes((40, (face(),)), (40, (face(),)), cuts=(40,)), SETTINGS, frame_s=FRAME_S)
    assert spans(search.shots) == [(0.0, 1.6), (1.6, 3.2)]


def test_a_face_that_jumps_splits_without_a_cut() -> None:
    search = find_shots(notes((30, (face(300),)), (60, (face(700),))), SETTINGS, frame_s=FRAME_S)
    assert spans(search.shots) == [(0.0, 1.2), (1.2, 3.6)]


def test_long_shots_are_cut_into_pieces_without_losing_a_frame() -> None:
    search = find_shots(notes((250, (face(),))), SETTINGS, frame_s=FRAME_S)
    assert spans(search.shots) == [(0.0, 4.0), (4.0, 8.0), (8.0, 10.0)]


def test_no_second_is_lost_from_the_account() -> None:
    told = notes((40, (face(),)), (20, ()), (10, (face(),)), (30, (face(300), face(700))), (35, (face(),)), cuts=(60,))
    search = find_shots(told, SETTINGS, frame_s=FRAME_S)
    kept = sum(end - start for start, end in spans(search.shots))
    assert kept + sum(search.left_out_s.values()) == pytest.approx(135 / RATE_HZ, abs=1e-3)
    assert {"no face", "several faces", "shot too short"} <= search.left_out_s.keys()
    assert len(search.shots) == 2


def test_one_missed_search_does_not_end_a_shot_but_three_do() -> None:
    blink = notes((30, (face(),)), (3, ()), (30, (face(),)))
    assert spans(find_shots(blink, SETTINGS, frame_s=FRAME_S).shots) == [(0.0, 2.52)]
    away = notes((30, (face(),)), (9, ()), (30, (face(),)))
    # Searches at frames 27 and 39 still see the face.
    assert spans(find_shots(away, SETTINGS, frame_s=FRAME_S).shots) == [(0.0, 1.08), (1.56, 2.76)]


def test_small_bystanders_do_not_matter_but_a_second_large_face_does() -> None:
    bystander = find_shots(notes((50, (face(), face(900, height=70)))), SETTINGS, frame_s=FRAME_S)
    assert len(bystander.shots) == 1
    pair = find_shots(notes((50, (face(), face(900, height=90)))), SETTINGS, frame_s=FRAME_S)
    assert pair.shots == ()
    assert pair.left_out_s == {"several faces": 2.0}


def test_a_listed_box_picks_its_face_among_several() -> None:
    left, right = face(300), face(800, height=150)
    search = find_shots(notes((50, (left, right))), SETTINGS, frame_s=FRAME_S, region=FaceBox(700, 200, 900, 400))
    assert [shot.boxes[0][1] for shot in search.shots] == [right]
    nobody = find_shots(notes((50, (left, right))), SETTINGS, frame_s=FRAME_S, region=FaceBox(0, 600, 50, 700))
    assert nobody.left_out_s == {"no face in the listed box": 2.0}


def test_a_wandering_face_ends_the_shot_before_the_crop_grows_too_large() -> None:
    wandering = [
        FrameNote(number * FRAME_S, False, (face(300 + 4 * number),) if number % 3 == 0 else None)
        for number in range(100)
    ]
    shots = find_shots(wandering, SETTINGS, frame_s=FRAME_S).shots
    assert len(shots) == 2
    for shot in shots:
        xs = [edge for _, box in shot.boxes for edge in (box.x0, box.x1)]
        assert max(xs) - min(xs) <= SETTINGS.travel * 200


def shot(*boxes: FaceBox) -> Shot:
    return Shot(Fraction(0), Fraction(2), tuple((number * FRAME_S, box) for number, box in enumerate(boxes)))


def test_the_crop_shows_the_face_in_half_its_height_a_little_below_the_middle() -> None:
    crop = steady_crop(shot(face(960, 500, 250)), PrepareSettings(), width_px=1920, height_px=1080)
    assert not isinstance(crop, str)
    assert crop.size_px == 500
    assert crop.centre_x_px == 960
    assert (500 - crop.top_px) / crop.size_px == pytest.approx(0.54)


def test_the_crop_holds_every_place_of_the_face_with_a_margin() -> None:
    boxes = (face(800, 500), face(1000, 560), face(900, 450))
    crop = steady_crop(shot(*boxes), PrepareSettings(), width_px=1920, height_px=1080)
    assert not isinstance(crop, str)
    assert crop.size_px >= 400 * 1.15 - 1
    assert crop.left_px <= 700
    assert crop.left_px + crop.size_px >= 1100


def test_the_crop_stays_inside_the_picture() -> None:
    crop = steady_crop(shot(face(150, 150, 220)), PrepareSettings(), width_px=1920, height_px=1080)
    assert not isinstance(crop, str)
    assert (crop.left_px, crop.top_px) == (0, 0)


def test_a_square_picture_of_a_face_is_kept_whole() -> None:
    crop = steady_crop(shot(face(250, 270, 215)), PrepareSettings(), width_px=512, height_px=512)
    assert not isinstance(crop, str)
    assert (crop.left_px, crop.top_px, crop.size_px) == (0, 0, 512)


@pytest.mark.parametrize(
    ("box", "size", "reason"),
    [
        (face(500, 300, 79), (1920, 1080), "face too small"),
        (face(500, 300, 85), (1920, 1080), "too few pixels"),
        (face(320, 240, 500), (640, 480), "face larger than the picture"),
        (face(20, 300, 200), (1920, 1080), "face cut off by the picture's edge"),
    ],
)
def test_reasons_for_no_crop(box: FaceBox, size: tuple[int, int], reason: str) -> None:
    assert steady_crop(shot(box), PrepareSettings(), width_px=size[0], height_px=size[1]) == reason


def test_a_face_of_few_pixels_gets_a_wider_view_in_full_size_down_to_the_least_share() -> None:
    def side(height: float) -> float:
        crop = steady_crop(shot(face(900, 500, height)), PrepareSettings(), width_px=1920, height_px=1080)
        assert not isinstance(crop, str)
        return crop.size_px

    # 512 px need 410 of the source; 410 * 0.35 is 143.4.
    assert [side(height) for height in (220, 180, 144, 143)] == [440, 410, 410, 286]


def test_clip_size_follows_the_pixels_that_the_source_has() -> None:
    settings = PrepareSettings(max_enlargement=1.25)
    assert [settings.clip_size_px(side) for side in (1000, 410, 409, 205, 204)] == [512, 512, 256, 256, None]


def test_settings_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="max_seconds: got 3 with min_seconds 2; expected at least twice"):
        PrepareSettings(min_seconds=2, max_seconds=3)
    with pytest.raises(ValueError, match=r"face_share: got 1.5, expected 0.2 to 0.9"):
        PrepareSettings(face_share=1.5)
