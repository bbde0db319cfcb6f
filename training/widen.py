"""A larger model that starts as a smaller one: same detector, same pictures, more room to learn.

Every channel of the small model keeps its weights; new channels start at random but nothing old listens to them yet,
and new residual blocks start as the identity. So the large model's first rebuild is the small one's, and the bitstream,
which the detector defines, stays. After Net2Net (Chen et al. 2016, arXiv 1511.05641), with zeros instead of copies, as
residual networks without norms allow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from adasr_core.networks import FaceCodecNetworks, ModelConfig
from adasr_core.networks.generator import SpadeBlock

Channels = Sequence[int]


def widen(small: FaceCodecNetworks, config: ModelConfig) -> FaceCodecNetworks:
    """Networks of `config` that compute what `small` computes.

    Args:
        small: the trained model.
        config: of the large one; at least as wide and as deep everywhere, with the same detector.

    Raises:
        ValueError: a part of `config` is smaller than in `small`, or the detectors differ.
    """
    _check(small.config, config)
    large = FaceCodecNetworks(config)
    large.detector.load_state_dict(small.detector.state_dict())
    with torch.no_grad():
        _widen_encoder(small, large)
        _widen_motion(small, large)
        _widen_generator(small, large)
    return large


def _check(old: ModelConfig, new: ModelConfig) -> None:
    for name in ("keypoints", "face_keypoints", "frame_px", "detector_px", "detector_widths"):
        if getattr(old, name) != getattr(new, name):
            raise ValueError(f"{name}: got {getattr(new, name)}, expected {getattr(old, name)} as in the smaller model")
    sizes = [
        "context_channels",
        "feature_channels",
        "detail_channels",
        "encoder_blocks",
        "generator_blocks",
        "generator_detail_width",
        "generator_detail_blocks",
    ]
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in sizes]
    pairs += [("motion_widths", a, b) for a, b in zip(old.motion_widths, new.motion_widths, strict=True)]
    for name, before, after in pairs:
        if after < before:
            raise ValueError(f"{name}: got {after}, expected at least {before} as in the smaller model")


def _place(new: nn.Conv2d, old: nn.Conv2d, *, outputs: Channels | None = None, inputs: Channels | None = None) -> None:
    """Put the old kernel where its channels lie in the new one (at the front unless told otherwise)."""
    outputs = range(old.out_channels) if outputs is None else outputs
    inputs = range(old.in_channels) if inputs is None else inputs
    rows = torch.tensor(outputs)
    new.weight[rows] = 0.0
    new.weight[rows[:, None], torch.tensor(inputs)[None]] = old.weight
    assert new.bias is not None
    assert old.bias is not None
    new.bias[rows] = old.bias


def _place_all(new: nn.Module, old: nn.Module) -> None:
    """`_place` every convolution of a module whose channels all lie at the front."""
    theirs = dict(new.named_modules())
    for name, layer in old.named_modules():
        if isinstance(layer, nn.Conv2d):
            target = theirs[name]
            assert isinstance(target, nn.Conv2d)
            _place(target, layer)


def _widen_encoder(small: FaceCodecNetworks, large: FaceCodecNetworks) -> None:
    _place_all(large.encoder, small.encoder)


def _widen_motion(small: FaceCodecNetworks, large: FaceCodecNetworks) -> None:
    old, new = small.motion, large.motion
    _place_all(new, old)
    # Its input is [masks, flow, context, warped context].
    before, after = small.config.context_channels, large.config.context_channels
    first = small.config.keypoints + 3
    inputs = [*range(first + before), *range(first + after, first + after + before)]
    _place(new.enter.conv, old.enter.conv, inputs=inputs)
    new.prior_bias.copy_(old.prior_bias)
    new.prior_log_precision.copy_(old.prior_log_precision)


def _widen_generator(small: FaceCodecNetworks, large: FaceCodecNetworks) -> None:
    old, new = small.generator, large.generator
    _place_all(new, old)
    for theirs, ours in (
        (new.blocks64, old.blocks64),
        (new.blocks128, old.blocks128),
    ):
        for target, block in zip(theirs, ours, strict=False):
            assert isinstance(target, SpadeBlock)
            assert isinstance(block, SpadeBlock)
            _widen_modulation(target, block)
    # Its input is [grown features, detail].
    before, after = small.config.generator_detail_width, large.config.generator_detail_width
    inputs = [*range(before), *range(after, after + small.config.detail_channels)]
    _place(new.merge.conv, old.merge.conv, inputs=inputs)


def _widen_modulation(new: SpadeBlock, old: SpadeBlock) -> None:
    """Outputs of a modulation are [gamma, beta], one of each for every channel."""
    for target, layer in (
        (new.spade1.modulation, old.spade1.modulation),
        (new.spade2.modulation, old.spade2.modulation),
    ):
        before, after = layer.out_channels // 2, target.out_channels // 2
        # Where the front placement wrote beta into gamma's rows, a new channel must start unmodulated.
        target.weight.zero_()
        assert target.bias is not None
        target.bias.zero_()
        _place(target, layer, outputs=[*range(before), *range(after, after + before)])
