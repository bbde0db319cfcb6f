"""A widened model computes what the small one computes, and learns on from there."""

import dataclasses

import pytest
import torch

from adasr_core.networks import PRESETS, FaceCodecNetworks, ModelConfig
from training.widen import widen


def shaken(config: ModelConfig) -> FaceCodecNetworks:
    """Networks whose zero-initialised layers say something too."""
    torch.manual_seed(3)
    networks = FaceCodecNetworks(config).eval()
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    return networks


@pytest.mark.parametrize("blocks128", [0, 1])
def test_a_widened_model_rebuilds_alike(blocks128: int) -> None:
    small = shaken(dataclasses.replace(PRESETS["edge"], generator_detail_blocks=blocks128))
    large = widen(small, PRESETS["base"]).eval()
    reference, driving = torch.rand(2, 1, 3, 512, 512)
    with torch.no_grad():
        expected, found = small(reference, driving), large(reference, driving)
    assert float((expected - reference).abs().mean()) > 0.01
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_new_channels_take_part_in_learning() -> None:
    large = widen(shaken(PRESETS["edge"]), PRESETS["base"])
    picture = torch.rand(1, 3, 512, 512)
    large(picture, picture.flip(3)).square().mean().backward()
    new = large.generator.leave.weight.grad
    assert new is not None
    assert float(new[:, PRESETS["edge"].generator_detail_width :].abs().mean()) > 0


def test_the_detector_is_taken_over_unchanged() -> None:
    small = shaken(PRESETS["edge"])
    large = widen(small, PRESETS["base"])
    for name, value in small.detector.state_dict().items():
        torch.testing.assert_close(large.detector.state_dict()[name], value, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_channels": 16}, "feature_channels: got 16, expected at least 48"),
        ({"motion_widths": (8, 96, 128, 192)}, "motion_widths: got 8"),
        ({"detector_widths": (8, 8, 8, 8)}, "detector_widths"),
    ],
)
def test_a_smaller_part_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        widen(FaceCodecNetworks(PRESETS["edge"]), dataclasses.replace(PRESETS["base"], **change))  # type: ignore[arg-type]
