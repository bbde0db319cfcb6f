from __future__ import annotations

from itertools import pairwise

import pytest

from sender.face_search import SearchConfig, scan_squares


@pytest.mark.parametrize(("width", "height"), [(512, 512), (640, 480), (1280, 720), (480, 854), (120, 500)])
def test_the_scan_covers_the_image_at_every_scale_and_stays_inside(width: int, height: int) -> None:
    config = SearchConfig()
    squares = scan_squares(width, height, config)
    short = min(width, height)
    assert len(squares) < 500
    for scale in config.scales:
        size = round(scale * short)
        ring = [square for square in squares if square.size_px == size]
        for x, y in [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1), (width // 2, height // 2)]:
            assert any(s.left_px <= x < s.left_px + size and s.top_px <= y < s.top_px + size for s in ring), (
                f"nobody looks at ({x}, {y}) at scale {scale}"
            )
        for square in ring:
            assert square.left_px.is_integer()
            assert square.top_px.is_integer()
            assert square.left_px >= 0
            assert square.top_px >= 0
            assert square.left_px + size <= width
            assert square.top_px + size <= height


def test_neighbouring_squares_overlap_enough_for_a_face_between_them() -> None:
    config = SearchConfig()
    squares = scan_squares(1280, 720, config)
    for scale in config.scales:
        size = round(scale * 720)
        for axis in ("centre_x_px", "centre_y_px"):
            centres = sorted({getattr(square, axis) for square in squares if square.size_px == size})
            assert all(b - a <= config.stride * size + 1 for a, b in pairwise(centres))


def test_the_largest_and_most_central_square_comes_first() -> None:
    squares = scan_squares(1280, 720, SearchConfig())
    assert squares[0].size_px == 720
    assert abs(squares[0].centre_x_px - 640) < 0.25 * 720
    assert [s.size_px for s in squares] == sorted((s.size_px for s in squares), reverse=True)


@pytest.mark.parametrize(
    "bad", [{"scales": ()}, {"scales": (1.5,)}, {"stride": 0.0}, {"found_confidence": 0.01}, {"closer_looks": 0}]
)
def test_a_wrong_setting_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="got"):
        SearchConfig(**bad)  # type: ignore[arg-type]
