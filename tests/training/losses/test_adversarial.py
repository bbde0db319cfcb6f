"""Discriminators and their losses."""

import pytest
import torch
from torch import nn

from training.losses import (
    DiscriminatorConfig,
    DiscriminatorHingeLoss,
    FeatureMatchingLoss,
    GeneratorHingeLoss,
    MultiScaleDiscriminator,
    PatchJudgement,
)

TINY = DiscriminatorConfig(width=8, widest=16)


def judged(logits: list[float], *features: float) -> PatchJudgement:
    return PatchJudgement(torch.tensor(logits), tuple(torch.full((2, 3), f) for f in features))


def test_hinge_losses_by_hand() -> None:
    real = [judged([2.0, 0.5]), judged([0.0])]
    fake = [judged([-3.0, -0.5]), judged([1.0])]
    # finest: mean(0, 0.5) + mean(0, 0.5) = 0.5; coarse: 1 + 2 = 3
    assert DiscriminatorHingeLoss()(real, fake).item() == pytest.approx((0.5 + 3.0) / 2)
    assert GeneratorHingeLoss()(fake).item() == pytest.approx(-(-1.75 + 1.0) / 2)
    undecided = [judged([0.0, 0.0])]
    assert DiscriminatorHingeLoss()(undecided, undecided).item() == 2


def test_hinge_gradient_stops_beyond_the_margin() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, 0.0], requires_grad=True)
    DiscriminatorHingeLoss()([PatchJudgement(real, ())], [PatchJudgement(fake, ())]).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_feature_matching_by_hand_and_without_gradient_to_the_real_side() -> None:
    real, fake = [judged([0.0], 1.0, 2.0), judged([0.0], 0.0)], [judged([0.0], 1.5, 2.0), judged([0.0], -1.0)]
    assert FeatureMatchingLoss()(real, fake).item() == pytest.approx((0.5 + 0.0 + 1.0) / 3)
    a, b = torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)
    FeatureMatchingLoss()([PatchJudgement(a, (a,))], [PatchJudgement(b, (b,))]).backward()
    assert a.grad is None
    assert b.grad is not None


def test_scales_halve_and_patches_are_70_pixels() -> None:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(TINY).eval()
    pictures = torch.rand(1, 3, 128, 128, requires_grad=True)
    fine, coarse = discriminator(pictures)
    assert fine.logits.shape == (1, 1, 14, 14)
    assert coarse.logits.shape == (1, 1, 6, 6)
    assert [f.shape[1] for f in fine.features] == [8, 16, 16, 16]
    (seen,) = torch.autograd.grad(fine.logits[0, 0, 7, 7], pictures)
    rows = seen.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_no_batch_norm_and_every_convolution_has_norm_one() -> None:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(TINY)
    for _ in range(30):
        discriminator(torch.rand(1, 3, 48, 48))
    discriminator.eval()
    convolutions = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 2 * 5
    for layer in convolutions:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm | nn.InstanceNorm2d) for m in discriminator.modules())


def test_judgement_of_a_picture_does_not_hang_on_its_batch() -> None:
    torch.manual_seed(0)
    discriminator = MultiScaleDiscriminator(TINY).eval()
    pictures = torch.rand(3, 3, 64, 64)
    together, alone = discriminator(pictures), discriminator(pictures[1:2])
    torch.testing.assert_close(together[0].logits[1:2], alone[0].logits, atol=1e-5, rtol=0)


def test_discriminator_learns_to_tell_noise_from_flat_pictures() -> None:
    torch.manual_seed(0)
    discriminator, loss = MultiScaleDiscriminator(TINY), DiscriminatorHingeLoss()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    losses = []
    for _ in range(25):
        noise, flat = torch.rand(4, 3, 48, 48), torch.rand(4, 3, 1, 1).expand(4, 3, 48, 48)
        value = loss(discriminator(noise), discriminator(flat))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[0] > 1.8
    assert losses[-1] < 0.5 * losses[0]


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="scales: got 0, expected 1 or more"):
        DiscriminatorConfig(scales=0)


def test_picture_below_one_patch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"picture: got \(47, 64\), expected sides of 48 or more"):
        MultiScaleDiscriminator(TINY)(torch.zeros(1, 3, 47, 64))
