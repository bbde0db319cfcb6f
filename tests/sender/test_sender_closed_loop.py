"""The sender's own rebuilds: one heavy step a frame at most, and what they may say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.real_model import camera_frame, edge_model, empty_room, talking
from tests.sender.face_sender import RATE, make, push, push_and_close


class HeavyWork:
    """Notes the heavy steps of a model: features and rebuilds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._steps: list[str] = []
        for name in ("encode", "rebuild"):
            monkeypatch.setattr(edge_model(), name, self._noted(name, getattr(edge_model(), name)))

    def take(self) -> list[str]:
        """What was done since the last time."""
        steps, self._steps = self._steps, []
        return steps

    def _noted(self, name: str, step: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            self._steps.append(name)
            return step(*arguments)

        return noted


@pytest.fixture
def heavy_work(monkeypatch: pytest.MonkeyPatch) -> HeavyWork:
    return HeavyWork(monkeypatch)


def test_no_frame_does_more_than_one_heavy_thing(heavy_work: HeavyWork) -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=5)
    done = []
    for frame in range(60):
        output = push(sender, frame)
        assert heavy_work.take() == [], "the packets wait for nothing"
        sender.close_loop()
        steps = heavy_work.take()
        assert len(steps) <= (0 if output.reference is not None else 1)
        assert sender.close_loop() is None
        assert heavy_work.take() == [], "once a frame"
        done += steps
    assert done.count("encode") == sender.statistics.references
    assert 8 <= done.count("rebuild") <= 12


def test_there_is_nothing_to_close_without_a_frame_or_a_face(heavy_work: HeavyWork) -> None:
    sender = make(full=False, assume_acknowledged=True, closed_loop_interval_frames=1)
    assert sender.close_loop() is None
    with_face = camera_frame(640, 320, 260)
    closed = [push_and_close(sender, with_face, frame)[1] for frame in range(6)]
    assert closed[-1] is not None
    assert heavy_work.take() == ["encode", *["rebuild"] * 4]
    for frame in range(6, 40):
        assert push_and_close(sender, empty_room(), frame)[1] is None
    assert heavy_work.take() == []


def test_a_step_that_was_left_out_is_made_up_for(heavy_work: HeavyWork) -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=5)
    for frame in range(20):
        push(sender, frame)
    assert heavy_work.take() == []
    assert sender.close_loop() is None
    assert heavy_work.take() == ["encode"]
    assert sender.close_loop() is None
    assert heavy_work.take() == [], "the measurement that is overdue as well waits for a frame of its own"
    closed = [push_and_close(sender, talking(frame), frame)[1] for frame in range(20, 25)]
    assert closed[0] is not None, "overdue, so at once"
    assert closed[1:] == [None] * 4, "and then at its interval again"
    assert heavy_work.take() == ["rebuild"]
    assert sender.statistics.quality_db == closed[0]


def test_only_the_reference_in_use_speaks_for_what_is_shown(heavy_work: HeavyWork) -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=2)
    dim = (talking(0) * 0.6).astype(np.uint8)
    tried_another = 0
    for frame in range(80):
        before = sender.statistics.quality_db
        output, quality_db = push_and_close(sender, talking(0) if frame < 20 else dim, frame)
        after = sender.statistics.quality_db
        if quality_db is not None:
            assert after == quality_db
            assert heavy_work.take() == ["rebuild"]
        elif output.reference is None:
            assert after == before
            tried_another += heavy_work.take() == ["rebuild"]
    assert sender.statistics.references_in_use >= 2
    assert tried_another >= 2


def test_nothing_is_measured_unless_the_loop_is_closed(heavy_work: HeavyWork) -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=3)
    for frame in range(30):
        sender.push_frame(talking(0), frame / RATE)
    dim = (talking(0) * 0.6).astype(np.uint8)
    for frame in range(30, 60):
        sender.push_frame(dim, frame / RATE)
    assert sender.statistics.quality_db is None
    assert heavy_work.take() == []


def test_without_the_closed_loop_no_heavy_work_is_done(heavy_work: HeavyWork) -> None:
    sender = make(assume_acknowledged=True, closed_loop_interval_frames=None)
    for frame in range(20):
        assert push_and_close(sender, talking(frame), frame)[1] is None
    assert heavy_work.take() == []
    assert sender.statistics.references == 1
    assert sender.statistics.quality_db is not None, "a guess from the pose stands for it"
