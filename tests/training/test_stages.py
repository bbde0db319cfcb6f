"""Every stage runs, lowers its loss on a tiny set, and leaves a checkpoint that the next one takes up."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from adasr_core.networks import PRESETS, FaceCodecNetworks
from tests.training.portraits import made_cache, tiny_generator, tiny_motion, tiny_networks
from training.adversarial_stage import AdversarialStage, AdversarialStageConfig
from training.augment import AugmentConfig
from training.detector_stage import DetectorStage, DetectorStageConfig
from training.generator_stage import GeneratorStageConfig
from training.held_background import HeldBackgroundLoss
from training.losses import DiscriminatorConfig
from training.motion_estimate import moved_targets
from training.rebuild_source import PatchConfig, RebuildBatch
from training.run import RunConfig
from training.start import StartConfig, start_networks
from training.teacher import Teacher
from training.trainer.feeder import sample_generator
from training.trainer.launcher import PlainLauncher
from training.trainer.loop import Trainer
from training.trainer.stage import PhaseLoss


def config(out: Path, steps: int = 2) -> RunConfig:
    return RunConfig(
        minutes=None, steps=steps, batch=2, learning_rate=1e-3, warmup_steps=1, device="cpu", report_s=1e9, out=out
    )


def train(stage: object, out: Path, steps: int = 2) -> FaceCodecNetworks:
    return Trainer(stage, PlainLauncher("cpu"), config(out, steps)).run()  # type: ignore[arg-type]


def changed(before: nn.Module, after: nn.Module) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))


def same_detector(a: FaceCodecNetworks, b: FaceCodecNetworks) -> None:
    for key, value in a.detector.state_dict().items():
        assert torch.equal(value, b.detector.state_dict()[key]), key


def test_detector_loss_falls_on_one_batch() -> None:
    cache = made_cache(64)
    networks = tiny_networks()
    augment = AugmentConfig(negative=0.0, hide=0.0, rotation_deg=3.0)
    stage = DetectorStage(
        networks,
        [cache],
        cache,
        DetectorStageConfig(augment=augment, equivariance=1.0, expression=0.5, deformation=0.1),
    )
    batch = stage.batch([sample_generator(0, 0, i) for i in range(4)])
    optimizer = torch.optim.AdamW(networks.detector.parameters(), lr=5e-3)
    losses = []
    for _ in range(25):
        loss = stage.loss(batch, None)
        assert [t.name for t in loss.terms] == ["landmarks", "equivariance", "expression", "deformation"]
        optimizer.zero_grad()
        loss.total().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.total().item())
    assert losses[-1] < 0.8 * losses[0]


def test_stages_follow_each_other(tmp_path: Path) -> None:
    cache = made_cache(64)
    start = tiny_networks()
    first = train(DetectorStage(tiny_networks(), [cache], cache), tmp_path / "d.safetensors")
    again, notes = FaceCodecNetworks.load(tmp_path / "d.safetensors")
    assert notes["stage"] == "detector"
    assert int(notes["steps"]) == 2
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert changed(start.detector, first.detector)
    assert not changed(start.motion, first.motion)
    second = train(tiny_motion(again), tmp_path / "m.safetensors")
    assert changed(first.motion, second.motion)
    assert changed(first.detector, second.detector)
    assert not changed(first.generator, second.generator)
    again, _ = FaceCodecNetworks.load(tmp_path / "m.safetensors")
    third = train(tiny_generator(again, chain=1.0), tmp_path / "g.safetensors")
    assert changed(second.generator, third.generator)
    assert changed(second.encoder.blocks, third.encoder.blocks)
    assert not changed(second.encoder.context, third.encoder.context)
    # Stage 3 must not move what defines the bitstream, batch norm statistics included.
    same_detector(second, third)
    assert not changed(second.motion, third.motion)
    lines = [json.loads(line) for line in (tmp_path / "g.jsonl").read_text().splitlines()]
    assert lines[-1]["stage"] == "generator"
    assert lines[-1]["psnr_db"] > 5


def test_joint_training_moves_the_motion_field_and_not_the_detector(tmp_path: Path) -> None:
    start = tiny_networks()
    made = train(tiny_generator(tiny_networks(), joint=True), tmp_path / "j.safetensors")
    assert changed(start.motion, made.motion)
    assert changed(start.encoder.context, made.encoder.context)
    assert changed(start.generator, made.generator)
    same_detector(start, made)


def test_later_decoder_keeps_the_bitstream_bit_for_bit(tmp_path: Path) -> None:
    """`--model base --detector EDGE`: another size of decoder around a frozen detector."""
    torch.manual_seed(5)
    edge = FaceCodecNetworks(PRESETS["edge"])
    edge.save(tmp_path / "edge.safetensors")
    base = start_networks(StartConfig(model="base", detector=tmp_path / "edge.safetensors"))
    assert base.config == PRESETS["base"]
    same_detector(edge, base)
    other = start_networks(StartConfig(model="base", start_from=tmp_path / "edge.safetensors", seed=1))
    same_detector(edge, other)
    assert other.motion.head.weight.shape != edge.motion.head.weight.shape
    assert torch.equal(other.motion.prior_bias, edge.motion.prior_bias)
    # The same freezing, trained: batch norms must not learn statistics either.
    start = tiny_networks()
    made = train(tiny_motion(tiny_networks(), train_detector=False), tmp_path / "m.safetensors")
    same_detector(start, made)
    assert changed(start.motion, made.motion)


def test_detector_of_another_kind_is_refused(tmp_path: Path) -> None:
    tiny_networks().save(tmp_path / "tiny.safetensors")
    with pytest.raises(ValueError, match="detector: its detector_px is 64, expected 256"):
        start_networks(StartConfig(detector=tmp_path / "tiny.safetensors"))
    with pytest.raises(ValueError, match="painter: got a checkpoint of tiny, expected edge"):
        start_networks(StartConfig(painter=tmp_path / "tiny.safetensors"))
    with pytest.raises(ValueError, match="got both, expected one"):
        StartConfig(resume=tmp_path / "a", start_from=tmp_path / "b")


def test_painter_brings_encoder_and_generator_but_not_the_context(tmp_path: Path) -> None:
    mine, other = tiny_networks(1), tiny_networks(2)
    mine.save(tmp_path / "mine.safetensors")
    other.save(tmp_path / "other.safetensors")
    made = start_networks(StartConfig(resume=tmp_path / "mine.safetensors", painter=tmp_path / "other.safetensors"))
    assert not changed(other.generator, made.generator)
    assert not changed(other.encoder.blocks, made.encoder.blocks)
    assert not changed(mine.encoder.context, made.encoder.context)
    assert not changed(mine.motion, made.motion)


def adversarial(networks: FaceCodecNetworks) -> AdversarialStage:
    cache = made_cache(512, clips=1, frames=3)
    return AdversarialStage(
        networks,
        cache,
        cache,
        AdversarialStageConfig(
            generator=GeneratorStageConfig(patches=PatchConfig(patch_px=512, chain=0.0)),
            discriminator=DiscriminatorConfig(width=4, widest=8),
        ),
    )


def test_adversarial_stage_trains_both_sides(tmp_path: Path) -> None:
    start = tiny_networks()
    stage = adversarial(tiny_networks())
    before = [p.detach().clone() for p in stage.discriminator.parameters()]
    made = train(stage, tmp_path / "a.safetensors")
    assert changed(start.generator, made.generator)
    same_detector(start, made)
    assert any(not torch.equal(a, b) for a, b in zip(before, stage.discriminator.parameters(), strict=True))
    line = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])
    assert {"rebuild", "hinge", "matching", "judging"} <= set(line)


def test_generators_loss_does_not_train_the_discriminator(tmp_path: Path) -> None:
    stage = adversarial(tiny_networks())
    trainer = Trainer(stage, PlainLauncher("cpu"), config(tmp_path / "a.safetensors"))
    seen: list[bool] = []
    loss = stage.loss

    def watched(batch: RebuildBatch, made: object) -> PhaseLoss:
        seen.append(any(p.requires_grad for p in stage.discriminator.parameters()))
        return loss(batch, made)

    generator = trainer.phases[0]
    object.__setattr__(generator, "loss", watched)
    trainer.run()
    assert seen == [False] * 2


def test_held_background_pays_only_for_what_got_worse() -> None:
    """Where nothing moved the warp may not change the picture; where something moved it may try."""
    torch.manual_seed(0)
    loss = HeldBackgroundLoss(still=0.02, margin=0.01)
    key = torch.rand(1, 3, 32, 32)
    dragged = key.roll(3, -1)
    assert loss(key, key, key) == 0
    error = (dragged - key).abs().mean(1)
    torch.testing.assert_close(loss(dragged, key, key), torch.relu(error - 0.01).mean())
    # The truth differs everywhere from the key frame: no wall stood still, nothing to pay.
    assert loss(dragged, key, 1 - key) == 0
    # Left half still, right half moved: only the left half counts, a margin of 3 px (the 7x7 box) apart.
    truth = key.clone()
    truth[..., 16:] = 1 - truth[..., 16:]
    half = loss(dragged, key, truth)
    torch.testing.assert_close(half, torch.relu(error[..., :13] - 0.01).sum() / error.numel())
    warped = dragged.clone().requires_grad_()
    loss(warped, key, truth).backward()
    assert warped.grad is not None
    assert (warped.grad[..., 16:] == 0).all()
    assert (warped.grad[..., :13] != 0).any()
    with pytest.raises(ValueError, match="still: got 0"):
        HeldBackgroundLoss(still=0)


def test_mirrored_pairs_swap_sides() -> None:
    cache = made_cache(64)
    points, shapes = (torch.from_numpy(v) for v in Teacher.fit(cache.landmarks)(cache.landmarks[:1]))
    mirror = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    once = moved_targets(points, shapes, mirror)
    twice = moved_targets(*once, mirror)
    torch.testing.assert_close(twice[0], points)
    torch.testing.assert_close(twice[1], shapes)
    # The subject's right iris (0) is now where the left one (1) was, reflected.
    torch.testing.assert_close(once[0][0, 0], points[0, 1] * torch.tensor([-1.0, 1.0]))


def test_batch_norm_only_in_the_detector() -> None:
    networks = FaceCodecNetworks(PRESETS["edge"])
    assert all(n.startswith("detector.") for n, m in networks.named_modules() if isinstance(m, nn.BatchNorm2d))
