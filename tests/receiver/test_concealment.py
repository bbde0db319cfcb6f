from __future__ import annotations

import numpy as np
import pytest

from receiver import ConcealmentConfig
from receiver.concealment import Concealment, Sample, extrapolate_at, interpolate_at


def sample(capture_ms: float, value: float, family: object = None) -> Sample:
    return Sample(capture_ms, np.full(6, value), family)


def shown(concealment: Concealment, samples: list[Sample], capture_ms: float, *, missed: bool = False) -> float:
    parameters = concealment.parameters(samples, capture_ms, missed, 40.0)
    return float(parameters.vector()[0])


def test_between_two_frames_parameters_are_linear_in_time_whatever_their_references() -> None:
    frames = [sample(0, 0.0, "one"), sample(40, 0.4, "one"), sample(120, 0.0, "other")]
    assert interpolate_at(frames, 60)[0] == pytest.approx(0.3)
    assert interpolate_at(frames, 40)[0] == 0.4
    assert interpolate_at(frames, -10)[0] == 0.0
    assert interpolate_at(frames, 500)[0] == 0.0


def test_motion_that_is_carried_on_stops_and_keeps_within_its_limits() -> None:
    config = ConcealmentConfig(gain=1.0, max_displacement=0.02)
    slow = [Sample(0.0, np.zeros(6), None), Sample(40.0, np.full(6, 0.004), None)]
    path = [extrapolate_at(slow, 40.0 + after, config)[0] for after in range(0, 400, 10)]
    assert path[0] == pytest.approx(0.004)
    assert np.diff(path)[0] == pytest.approx(0.001, rel=0.05), "it goes on as fast as it was"
    assert (np.diff(path) >= 0).all()
    assert path[28] == pytest.approx(0.004 + 1e-4 * 140), "and stops after 280 ms"
    assert path[-1] == path[28]
    fast = [Sample(0.0, np.zeros(6), None), Sample(40.0, np.array((0.4, 0.2, 0.0, 0.1, 0.0, 0.0)), None)]
    moved = extrapolate_at(fast, 100.0, config) - fast[1].vector
    assert moved.max() == pytest.approx(0.02)
    assert moved[1] == pytest.approx(0.01), "made smaller as a whole"


@pytest.mark.parametrize("samples", [1, 2])
def test_motion_is_not_carried_on_from_one_reference_to_another(samples: int) -> None:
    frames = [Sample(0.0, np.zeros(6), "one"), Sample(40.0, np.ones(6), "other")][-samples:]
    assert (extrapolate_at(frames, 80.0, ConcealmentConfig()) == 1).all()


def test_frames_too_far_apart_measure_no_velocity() -> None:
    frames = [sample(0, 0.0), sample(301, 1.0)]
    assert (extrapolate_at(frames, 340, ConcealmentConfig()) == 1).all()


def test_the_way_back_is_blended_over_two_frames() -> None:
    concealment = Concealment(ConcealmentConfig())
    still = [sample(0, 0.0), sample(40, 0.0)]
    assert shown(concealment, still, 40) == 0
    assert shown(concealment, still, 80) == 0, "carried on: it did not move"
    # In truth it went to 0.2 meanwhile, and stays there.
    known = [*still, sample(120, 0.2), sample(160, 0.2), sample(200, 0.2)]
    path = [
        shown(concealment, known[:3], 120, missed=True),
        shown(concealment, known[:4], 160),
        shown(concealment, known, 200),
    ]
    assert path == pytest.approx([0.15, 0.2, 0.2]), "at 80 the truth was 0.1 ahead; half of that is left at 120"


def test_without_a_wrong_guess_nothing_is_blended() -> None:
    concealment = Concealment(ConcealmentConfig(gain=1.0))
    frames = [sample(number * 40, 0.0) for number in range(8)]
    shown(concealment, frames[:3], 80)
    shown(concealment, frames[:3], 120)
    assert shown(concealment, frames[:5], 160, missed=True) == 0.0


def test_after_a_long_interruption_the_picture_jumps() -> None:
    concealment = Concealment(ConcealmentConfig())
    shown(concealment, [sample(0, 0.0)], 0)
    assert shown(concealment, [sample(0, 0.0), sample(1040, 1.0)], 1040, missed=True) == 1.0
    other = Concealment(ConcealmentConfig())
    shown(other, [sample(0, 0.0)], 0)
    near = shown(other, [sample(0, 0.0), sample(960, 1.0)], 960, missed=True)
    assert near == pytest.approx(1.0 - 0.5 * (1 - 40 / 960)), "else it takes two steps"


def test_no_setting_blends_beyond_the_limits_of_the_parameters() -> None:
    concealment = Concealment(ConcealmentConfig(blend_ms=1000))
    shown(concealment, [sample(0, 4.0)], 0)
    assert abs(shown(concealment, [sample(0, 4.0), sample(40, -4.0)], 40, missed=True)) <= 4.0


@pytest.mark.parametrize("bad", [{"horizon_ms": -1.0}, {"gain": 1.5}, {"blend_ms": -1.0}, {"max_displacement": -0.1}])
def test_a_wrong_setting_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ConcealmentConfig(**bad)
