"""The cost model of the published generator costs what the published one costs."""

import pytest
import torch

from export.published_generator import (
    PUBLISHED_GMAC,
    PUBLISHED_PARAMETERS,
    PublishedGenerator,
    published_cost,
    published_inputs,
)


def test_work_and_size_are_the_published_ones() -> None:
    cost = published_cost()
    assert cost.gmac == pytest.approx(PUBLISHED_GMAC, rel=0.02)
    assert cost.parameters == pytest.approx(PUBLISHED_PARAMETERS, rel=0.02)


@pytest.mark.slow
@torch.inference_mode()
def test_it_runs_and_reads_all_its_inputs() -> None:
    torch.manual_seed(0)
    network = PublishedGenerator().eval()
    picture, source, driving = published_inputs(1, frame_px=128)
    frame = network(picture, source, driving)
    assert frame.shape == picture.shape
    assert torch.isfinite(frame).all()
    assert (network(picture, source, source) - frame).abs().max() > 0
    assert (network(picture.flip(-1), source, driving) - frame).abs().max() > 0
