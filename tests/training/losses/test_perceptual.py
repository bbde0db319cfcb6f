"""VGG-19's layers and the perceptual loss, with random weights; the published ones are not needed here."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from training.losses import PerceptualLoss, Vgg19Features, find_vgg19_weights, load_vgg19
from training.losses.perceptual import LAYER_WEIGHTS
from training.losses.vgg import CONVOLUTIONS

SMALL = {"conv1_2": 0.5, "conv2_2": 2.0}


def small_features() -> Vgg19Features:
    torch.manual_seed(0)
    return Vgg19Features(tuple(SMALL))


def test_layers_stand_where_torchvision_has_them() -> None:
    # torchvision.models.vgg19().features: positions of the last convolution of each block, and of the first.
    assert [CONVOLUTIONS[n][0] for n in ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")] == [2, 7, 16, 25, 34]
    assert [CONVOLUTIONS[f"conv{b}_1"][0] for b in range(1, 6)] == [0, 5, 10, 19, 28]
    assert len(CONVOLUTIONS) == 16
    assert CONVOLUTIONS["conv4_1"][1:] == (256, 512)


def test_parameters_are_vgg19s() -> None:
    counted = sum(out * (inside * 9 + 1) for _, inside, out in CONVOLUTIONS.values())
    assert counted == 20_024_384  # torchvision.models.vgg19().features


def test_taps_are_before_the_relu() -> None:
    features = small_features()
    found = features(torch.rand(1, 3, 32, 32))
    assert {n: tuple(f.shape) for n, f in found.items()} == {"conv1_2": (1, 64, 32, 32), "conv2_2": (1, 128, 16, 16)}
    for name, feature in found.items():
        assert feature.min() < 0, name  # a ReLU leaves nothing below 0, and none ran in place afterwards
    assert isinstance(features.features[-1], nn.Conv2d)
    by_hand = features.features[2](
        features.features[0]((0.5 - features.mean) / features.deviation + torch.zeros(1, 3, 8, 8)).relu()
    )
    torch.testing.assert_close(features(torch.full((1, 3, 8, 8), 0.5))["conv1_2"], by_hand)


def test_features_are_frozen_but_let_the_gradient_through() -> None:
    loss = PerceptualLoss(small_features(), SMALL)
    assert not any(p.requires_grad for p in loss.parameters())
    found = torch.rand(1, 3, 32, 32, requires_grad=True)
    loss(found, torch.rand(1, 3, 32, 32)).backward()
    assert found.grad is not None
    assert found.grad.abs().max() > 0


def test_loss_is_zero_for_equal_pictures_and_the_weighted_distance_otherwise() -> None:
    features = small_features()
    a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    assert PerceptualLoss(features, SMALL)(a, a).item() == 0
    fa, fb = features(a), features(b)
    expected = sum(w * (fa[n] - fb[n]).abs().mean().item() for n, w in SMALL.items())
    assert PerceptualLoss(features, SMALL, scales=1)(a, b).item() == pytest.approx(expected, rel=1e-5)
    half = PerceptualLoss(features, SMALL, scales=1)(*(nn.functional.avg_pool2d(x, 2) for x in (a, b))).item()
    assert PerceptualLoss(features, SMALL, scales=2)(a, b).item() == pytest.approx(expected + half, rel=1e-5)


def stored(path: Path, taps: tuple[str, ...], seed: int = 3) -> dict[str, torch.Tensor]:
    """A file like torchvision's: all of it, the classifier too."""
    torch.manual_seed(seed)
    state: dict[str, torch.Tensor] = dict(Vgg19Features(taps).state_dict())
    torch.save(state | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    return state


def test_weights_are_found_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert find_vgg19_weights() is None
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path)) + ".*without the perceptual loss"):
        load_vgg19(tuple(SMALL))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    state = stored(checkpoints / "vgg19-dcbb9e9d.pth", tuple(SMALL))
    assert find_vgg19_weights() == checkpoints / "vgg19-dcbb9e9d.pth"
    loaded = load_vgg19(tuple(SMALL)).state_dict()
    assert all(torch.equal(loaded[n], v) for n, v in state.items())


def test_file_that_was_named_is_taken_or_missed(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    with pytest.raises(FileNotFoundError, match=r"mine\.pth is not a file"):
        find_vgg19_weights(path)
    stored(path, tuple(SMALL))
    assert find_vgg19_weights(path) == path


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match="not torchvision's VGG-19"):
        load_vgg19(tuple(SMALL), path)
    torch.save(nn.Linear(2, 2), path)  # a pickled object, which weights_only does not unpickle
    with pytest.raises(ValueError, match="not torchvision's VGG-19"):
        load_vgg19(tuple(SMALL), path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not torchvision's VGG-19"):
        load_vgg19(tuple(SMALL), path)


def test_default_layers_and_bad_names() -> None:
    assert set(LAYER_WEIGHTS) <= set(CONVOLUTIONS)
    with pytest.raises(ValueError, match=r"taps: got \['relu1_1'\]"):
        Vgg19Features(("relu1_1",))
    with pytest.raises(ValueError, match="weights: got"):
        PerceptualLoss(small_features(), {"conv1_2": 1.0})
