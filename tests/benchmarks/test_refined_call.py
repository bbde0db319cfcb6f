"""A whole offline call with a model that has a refiner: it paints what is shown, unless the receiver is told not to."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from adasr.rate_options import add_display_option, receiver_config
from adasr_core.bundle import ModelBundle
from adasr_core.engines import FaceModel
from benchmarks.offline_call import OfflineCall, run_offline_call
from receiver import PlayoutConfig, ReceiverConfig
from sender import CropMode, RatePlan, SenderConfig, TrackerConfig
from tests.real_model import Image, edge_codec, talking

FRAMES = 17


def call(model: FaceModel, *, refine: bool) -> OfflineCall:
    return run_offline_call(
        [talking(number) for number in range(FRAMES)],
        [number / 25 for number in range(FRAMES)],
        model,
        edge_codec(),
        plan=RatePlan(frames_per_message=4, anchor_frames=4, anchor_crf=40.0),
        sender_config=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None),
        receiver_config=ReceiverConfig(refine=refine),
    )


def test_refined_and_mixed_calls_differ_in_the_pictures_alone(
    refined: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    refine = FaceModel.refine

    def noted(model: FaceModel, earlier: Image, later: Image, weight: float) -> Image:
        shares.append(weight)
        return refine(model, earlier, later, weight)

    monkeypatch.setattr(FaceModel, "refine", noted)
    model = FaceModel.load(refined, threads=1)
    mixed = call(model, refine=False)
    assert not shares
    painted = call(model, refine=True)
    assert 0.0 in shares, "anchors' own frames"
    assert len({share for share in shares if 0 < share < 1}) >= 3, "frames between them"
    assert painted.wire == mixed.wire, "it is a matter of the receiver alone"
    assert painted.fresh == mixed.fresh
    changed = [np.abs(a.astype(int) - b).mean() for a, b in zip(painted.shown, mixed.shown, strict=True)]
    assert sum(change > 0.3 for change in changed) >= FRAMES // 2, "random weights must show"


def test_the_switch_of_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_display_option(parser)
    assert receiver_config(parser.parse_args([])) == ReceiverConfig()
    assert receiver_config(parser.parse_args([])).refine
    without = receiver_config(parser.parse_args(["--no-refine", "--display-fps", "50"]))
    assert without == ReceiverConfig(playout=PlayoutConfig(display_interval_ms=20.0), refine=False)
    assert not receiver_config(parser.parse_args(["--no-refine"])).refine
