"""Detector, encoder, generator, cost and checkpoints."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from adasr_core.networks import PRESETS, FaceCodecNetworks, Generator, KeyFrameEncoder, KeypointDetector, ModelConfig
from adasr_core.networks.cost import model_cost

EDGE = PRESETS["edge"]


@pytest.fixture(scope="module")
def edge() -> FaceCodecNetworks:
    torch.manual_seed(0)
    return FaceCodecNetworks(EDGE).eval()


def test_detector_reads_the_place_of_a_heat_peak() -> None:
    detector = KeypointDetector(EDGE).eval()
    with torch.no_grad():
        detector.heat.weight.zero_()
        assert detector.heat.bias is not None
        detector.heat.bias.zero_()
        # One keypoint's prior is a sharp peak in one cell; its coordinates must be that cell's centre.
        detector.anchors[0, 3] = -1e4
        detector.anchors[0, 3, 10 * 64 + 50] = 0.0
        out = detector(torch.rand(2, 3, 256, 256))
    torch.testing.assert_close(out.keypoints[0, 3], torch.tensor([101 / 64 - 1, 21 / 64 - 1]))
    # Without any evidence a face keypoint stands in the middle.
    torch.testing.assert_close(out.keypoints[1, 0], torch.zeros(2), atol=1e-5, rtol=0)


def test_detector_starts_at_identity_jacobians() -> None:
    detector = KeypointDetector(EDGE).eval()
    with torch.no_grad():
        out = detector(torch.rand(1, 3, 256, 256))
    assert (out.jacobians - torch.eye(2)).abs().max() < 0.2
    assert out.head_pose.shape == (1, 3)
    assert out.depth.shape == (1, EDGE.keypoints)


def test_encoder_and_generator_have_no_batch_norm(edge: FaceCodecNetworks) -> None:
    for part in (edge.encoder, edge.motion, edge.generator):
        assert not [m for m in part.modules() if isinstance(m, nn.BatchNorm2d | nn.InstanceNorm2d | nn.GroupNorm)]


def test_rebuild_without_motion_is_close_to_the_key_frame(edge: FaceCodecNetworks) -> None:
    smooth = nn.functional.interpolate(torch.rand(1, 3, 8, 8), size=(512, 512), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        frame = edge(smooth, smooth)
    # The blend starts at the warped key frame (mask 0.98).
    assert (frame - smooth).abs().mean() < 0.03


def test_patch_equals_frame(edge: FaceCodecNetworks) -> None:
    """Training paints patches: away from the rim they must be the frame's own pixels."""
    from training.generator_stage import cut, rebuild_patches

    torch.manual_seed(1)
    picture = torch.rand(1, 3, 512, 512)
    flow, occlusion = 0.1 * torch.randn(1, 2, 64, 64), torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        features, detail, _ = edge.encoder(picture)
        frame = edge.generator(picture, features, detail, flow, occlusion)
        patch = rebuild_patches(edge, picture, flow, occlusion, ((128, 64),), 256)
    expected = cut(frame.permute(0, 2, 3, 1), ((128, 64),), 256, 1).permute(0, 3, 1, 2)
    inner = slice(96, 160)
    torch.testing.assert_close(patch[..., inner, inner], expected[..., inner, inner], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_keep_their_budgets(name: str) -> None:
    cost = model_cost(PRESETS[name])
    assert cost.detector.gmac <= 0.25
    assert cost.gmac_per_frame <= {"edge": 2.0, "base": 100.0}[name]
    assert cost.generator.parameters == sum(p.numel() for p in Generator(PRESETS[name]).parameters())


def test_cost_of_a_known_convolution() -> None:
    from adasr_core.networks.cost import count

    layer = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    cost = count(layer, torch.zeros(1, 3, 10, 20))
    assert cost.parameters == 3 * 5 * 9
    assert cost.gmac == pytest.approx(3 * 5 * 9 * 10 * 20 / 1e9)


def test_detectors_of_all_presets_are_one_bitstream() -> None:
    fields = ("keypoints", "face_keypoints", "detector_px", "detector_widths")
    assert len({tuple(getattr(c, f) for f in fields) for c in PRESETS.values()}) == 1


def test_checkpoint_round_trip(edge: FaceCodecNetworks, tmp_path: Path) -> None:
    edge.save(tmp_path / "a.safetensors", {"steps": "7"})
    again, notes = FaceCodecNetworks.load(tmp_path / "a.safetensors")
    assert notes == {"steps": "7"}
    assert again.config == edge.config
    for key, value in edge.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="architecture"):
        FaceCodecNetworks.load(tmp_path / "x.safetensors")


def test_config_refuses_unknown_keys_and_bad_sizes() -> None:
    with pytest.raises(ValueError, match="unknown keys"):
        ModelConfig.from_dict({**EDGE.to_dict(), "colour": 1})
    with pytest.raises(ValueError, match="frame_px"):
        dataclasses.replace(EDGE, frame_px=500)
    with pytest.raises(ValueError, match="face_keypoints"):
        dataclasses.replace(EDGE, face_keypoints=41)
    assert ModelConfig.from_dict(EDGE.to_dict()) == EDGE


def test_encoder_keeps_the_picture_in_its_detail() -> None:
    encoder = KeyFrameEncoder(EDGE).eval()
    picture = torch.rand(1, 3, 512, 512)
    with torch.no_grad():
        out = encoder(picture)
    torch.testing.assert_close(out.detail[:, :3], nn.functional.avg_pool2d(picture, 4))
    assert out.features.shape == (1, EDGE.feature_channels, 64, 64)
    assert out.context.shape == (1, EDGE.context_channels, 64, 64)
