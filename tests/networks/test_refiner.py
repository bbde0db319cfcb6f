"""The refiner: fresh weights mix by time, sizes, checkpoints."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from adasr_core.networks import PRESETS, FaceCodecNetworks, Refiner, RefinerConfig
from adasr_core.networks.cost import count

SMALL = RefinerConfig(frame_px=64, width=4, deep_width=8, deep_blocks=1)


def pictures(seed: int, side: int = 64) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_fresh_weights_return_the_mix() -> None:
    weight = torch.tensor([0.25, 1.0])[:, None, None, None]
    found = Refiner(SMALL)(pictures(1), pictures(2), weight)
    assert found.shape == (2, 3, 64, 64)
    assert torch.allclose(found[0], 0.75 * pictures(1)[0] + 0.25 * pictures(2)[0], atol=1e-6)
    assert torch.allclose(found[1], pictures(2)[1], atol=1e-6)


def test_one_pixel_changes_its_neighbourhood_alone() -> None:
    torch.manual_seed(3)
    refiner = Refiner(SMALL).eval()
    torch.nn.init.normal_(refiner.leave.weight, std=0.1)
    side = 256
    earlier, later, weight = pictures(1, side), pictures(2, side), torch.full((2, 1, 1, 1), 0.5)
    touched = earlier.clone()
    touched[:, :, 128, 128] = 1 - touched[:, :, 128, 128]
    with torch.no_grad():
        moved = (refiner(earlier, later, weight) - refiner(touched, later, weight)).abs().amax((0, 1)) > 0
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert moved[128, 128]
    # Four convolutions at 1/8 and four at 1/4: nothing farther away than 60 pixels.
    assert (rows - 128).abs().max() < 60
    assert (columns - 128).abs().max() < 60


def test_cost_stays_below_the_generator() -> None:
    with torch.device("meta"):
        picture = torch.empty(1, 3, 512, 512)
        cost = count(Refiner(RefinerConfig()), picture, picture, torch.empty(1, 1, 1, 1))
    assert 0.9 < cost.gmac < 1.2
    assert cost.parameters < 200_000


def test_checkpoint_brings_its_sizes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    refiner = Refiner(SMALL)
    refiner.save(tmp_path / "r.safetensors", {"stage": "refiner"})
    again, notes = Refiner.load(tmp_path / "r.safetensors")
    assert again.config == SMALL
    assert notes["stage"] == "refiner"
    for name, value in refiner.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    FaceCodecNetworks(PRESETS["edge"]).save(tmp_path / "edge.safetensors")
    Refiner(SMALL).save(tmp_path / "r.safetensors")
    with pytest.raises(ValueError, match=r"edge.safetensors: no 'refiner' in its metadata; expected .* of Refiner"):
        Refiner.load(tmp_path / "edge.safetensors")
    with pytest.raises(ValueError, match="no 'architecture' in its metadata"):
        FaceCodecNetworks.load(tmp_path / "r.safetensors")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"frame_px": 100}, "frame_px: got 100"), ({"width": 0}, "width: got 0"), ({"deep_blocks": -1}, "deep_blocks")],
)
def test_sizes_that_cannot_be(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RefinerConfig(**values)


def test_unknown_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['depth'\]"):
        RefinerConfig.from_dict(SMALL.to_dict() | {"depth": 3})
