"""The ablation: variants that differ in one thing only, train, stop, go on and are scored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import load_file
from skimage import data
from torch import nn

from adasr_core.landmarks import hull_mask
from adasr_core.networks import PRESETS, FaceCodecNetworks
from adasr_core.networks.generator import SpadeBlock
from adasr_core.picture_quality import psnr_db
from training.ablation import (
    VARIANTS,
    AblationConfig,
    AblationStage,
    markdown_table,
    print_results,
    run_ablation,
    train_variant,
)
from training.ablation_networks import batch_norms, fresh_painter, painter_parts, with_batch_norm
from training.ablation_picture import feature_sheet, fine_part, write_sheet
from training.ablation_scores import KEY_FRAMES, SCORED, RebuildScore, rebuild, score_frame, score_variant
from training.frame_cache import FrameCache
from training.generator_stage import GeneratorStageConfig
from training.run import RunConfig

SMALL = replace(PRESETS["edge"], detector_px=64)


@pytest.fixture(scope="module")
def start() -> FaceCodecNetworks:
    """Untrained networks with a small detector, with statistics in the detector's batch norms."""
    torch.manual_seed(3)
    networks = FaceCodecNetworks(SMALL)
    networks.train()
    with torch.no_grad():
        networks.detector(torch.rand(4, 3, 64, 64))
    return networks.eval()


def made_cache(clips: int = 2, frames: int = 4) -> FrameCache:
    """A portrait that drifts, with landmarks that drift along."""
    rng = np.random.default_rng(0)
    portrait = data.astronaut()
    cloud = rng.uniform((-0.3, -0.5, -0.1), (0.3, 0.4, 0.1), (478, 3))
    pictures, points = [], []
    for number in range(clips * frames):
        dx, dy = rng.integers(-32, 32, 2)
        pictures.append(np.roll(portrait, (dy, dx), (0, 1)))
        points.append(cloud + np.array([dx, dy, 0]) * 2 / 512 + rng.normal(0, 0.002, cloud.shape) * (number > 0))
    return FrameCache(
        frames=np.stack(pictures).astype(np.uint8),
        landmarks=np.stack(points).astype(np.float32),
        clip=np.repeat(np.arange(clips), frames).astype(np.int32),
        frame=np.tile(np.arange(frames), clips).astype(np.int32),
        names=tuple(f"{c}.mp4" for c in range(clips)),
    )


def made_config(out: Path, **changes: object) -> AblationConfig:
    run = RunConfig(minutes=1000, steps=2, batch=2, learning_rate=1e-3, warmup_steps=1, device="cpu", report_s=1000)
    return AblationConfig(out=out, run=replace(run, **changes))  # type: ignore[arg-type]


def convolutions(networks: FaceCodecNetworks) -> list[torch.Tensor]:
    return [m.weight for part in painter_parts(networks) for m in part.modules() if isinstance(m, nn.Conv2d)]


def test_variants_start_from_the_same_convolutions_and_motion_field(start: FaceCodecNetworks) -> None:
    full, normed = (VARIANTS[name].networks(start, seed=5) for name in ("full", "without_adaptive_encoder"))
    assert list(batch_norms(full)) == []
    # Every ConvAct (4 in the encoder, 4 in the generator), 2 in each residual block, 2 in each SPADE block.
    assert len(list(batch_norms(normed))) == 8 + 2 * SMALL.encoder_blocks + 2 * SMALL.generator_blocks
    assert all(torch.equal(a, b) for a, b in zip(convolutions(full), convolutions(normed), strict=True))
    for networks in (full, normed):
        for part in ("detector", "motion"):
            theirs = getattr(start, part).state_dict()
            assert all(torch.equal(v, theirs[k]) for k, v in getattr(networks, part).state_dict().items())
        context = networks.encoder.context.state_dict()
        assert all(torch.equal(v, start.encoder.context.state_dict()[k]) for k, v in context.items())


def test_a_fresh_painter_depends_on_the_seed_alone(start: FaceCodecNetworks) -> None:
    torch.manual_seed(99)
    first = fresh_painter(start, 5)
    before = torch.get_rng_state()
    again, other = fresh_painter(start, 5), fresh_painter(start, 6)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [networks.generator.enter.weight for networks in (first, again, other, start)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_batch_norm_evens_out_the_features(start: FaceCodecNetworks) -> None:
    """In training mode every channel before SPADE's modulation has mean 0 and variance 1 over the batch."""
    normed = with_batch_norm(fresh_painter(start, 5))
    block = normed.generator.blocks64[0]
    for norm in batch_norms(normed):
        norm.train()
    x = torch.randn(4, SMALL.feature_channels, 16, 16) * 3 + 1
    assert isinstance(block, SpadeBlock)
    made = block.spade1(x, torch.randn(4, SMALL.feature_channels // 2, 16, 16))
    # The modulation starts at zero, so what is left is the norm.
    assert torch.allclose(made.mean((0, 2, 3)), torch.zeros(SMALL.feature_channels), atol=1e-5)
    assert torch.allclose(made.var((0, 2, 3), correction=0), torch.ones(SMALL.feature_channels), atol=1e-3)


def test_only_the_batch_norms_that_are_trained_are_in_training_mode(start: FaceCodecNetworks) -> None:
    cache, variant = made_cache(), VARIANTS["without_adaptive_encoder"]
    config = GeneratorStageConfig(patches=variant.patches())
    stage = AblationStage("x", variant.networks(start, 0), cache, cache, config)
    stage.train_mode()
    assert all(norm.training for norm in batch_norms(stage.networks))
    assert not any(m.training for m in stage.networks.detector.modules())
    assert (variant.patches().shrunk, variant.patches().compressed) == (0.0, 0.0)
    assert VARIANTS["full"].patches().compressed > 0


def test_a_variant_stops_and_goes_on_as_if_it_had_not(start: FaceCodecNetworks, tmp_path: Path) -> None:
    cache, val, name = made_cache(), made_cache(1, 2), "without_adaptive_encoder"
    whole, steps = train_variant(name, start, cache, val, made_config(tmp_path / "whole"))
    assert steps == 2
    _, steps = train_variant(name, start, cache, val, made_config(tmp_path / "parts", sitting_steps=1))
    assert steps == 1
    parts, steps = train_variant(name, start, cache, val, made_config(tmp_path / "parts"))
    assert steps == 2
    theirs = parts.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in whole.state_dict().items())
    norm = next(batch_norms(whole))
    assert norm.running_mean is not None
    assert norm.running_mean.abs().max() > 0
    with pytest.raises(ValueError, match="seed: got 9, expected 0"):
        train_variant(name, start, cache, val, made_config(tmp_path / "parts", seed=9))


def test_a_variant_goes_on_against_discriminators(start: FaceCodecNetworks, tmp_path: Path) -> None:
    cache, val, name = made_cache(), made_cache(1, 2), "without_adaptive_encoder"
    config = replace(made_config(tmp_path, steps=1), adversarial_steps=1, sharpness=0.1)
    assert config.total_steps == 2
    networks, steps = train_variant(name, start, cache, val, config)
    assert steps == 2
    losses = json.loads((tmp_path / f"{name}.adversarial.jsonl").read_text().splitlines()[-1])
    assert losses["softness"] > 0
    assert {"hinge", "judging"} <= losses.keys()
    before = load_file(config.checkpoint(name))
    trained = {key: value for key, value in networks.state_dict().items() if key.startswith("generator.")}
    assert not any(torch.equal(value, before[key]) for key, value in trained.items() if key.endswith("conv1.weight"))
    again, steps = train_variant(name, start, cache, val, config)
    assert steps == 2
    assert all(torch.equal(value, networks.state_dict()[key]) for key, value in again.state_dict().items())


@pytest.mark.parametrize("field", ["adversarial_steps", "sharpness"])
def test_weights_and_steps_below_zero_are_refused(tmp_path: Path, field: str) -> None:
    changes: dict[str, Any] = {field: -1}
    with pytest.raises(ValueError, match=f"{field}: got -1"):
        AblationConfig(out=tmp_path, run=made_config(tmp_path).run, **changes)


def test_the_run_writes_and_prints_its_table(
    start: FaceCodecNetworks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(made_config(tmp_path, steps=1), variants=("without_cross_quality",))
    results = run_ablation(start, made_cache(), made_cache(1, 2), config)
    report = json.loads((tmp_path / "ablation.json").read_text())
    assert list(report["variants"]) == ["without_cross_quality"]
    (variant,) = report["variants"].values()
    assert variant["steps"] == 1
    assert set(variant["scores"]) == {*SCORED, "mean"}
    table = (tmp_path / "table.md").read_text().splitlines()
    assert len(table) == 2 + len(SCORED) + 1
    assert markdown_table(results).splitlines() == table
    print_results(results)
    assert "without cross-quality training" in capsys.readouterr().out


def test_scores_of_known_pictures() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(40, 200, (64, 64, 3)).astype(np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[:32] = True
    equal = score_frame(source, source, mask)
    assert (equal.psnr_db, equal.face_psnr_db, equal.sharpness, equal.sharpness_error) == (99.0, 99.0, 1.0, 0.0)
    assert equal.ssim == pytest.approx(1.0)
    brighter = source.copy()
    brighter[:32] += 10
    worse = score_frame(source, brighter, mask)
    assert worse.face_psnr_db == pytest.approx(20 * np.log10(25.5), abs=1e-3)
    assert worse.psnr_db == pytest.approx(worse.face_psnr_db + 10 * np.log10(2), abs=1e-3)
    flat = score_frame(source, (source // 2 + 60).astype(np.uint8), mask)
    assert flat.sharpness == pytest.approx(0.5, abs=0.03)
    assert flat.sharpness_error == pytest.approx(np.log(2), abs=0.06)


def test_key_frames_arrive_worse_the_cheaper_they_are() -> None:
    sharp = np.ascontiguousarray(data.astronaut())
    errors = {name: np.abs(receive(sharp).astype(float) - sharp).mean() for name, receive in KEY_FRAMES.items()}
    assert 0 < errors["avif_60"] < errors["avif_30"] < errors["half_size"]
    assert all(receive(sharp).shape == sharp.shape for receive in KEY_FRAMES.values())


def test_a_still_head_is_rebuilt_from_the_frame_that_arrived(start: FaceCodecNetworks) -> None:
    """Untrained networks paint nothing: without motion the rebuild is the received key frame, not the sharp one."""
    sharp = np.asarray(made_cache().frames[0])
    received = np.zeros_like(sharp) + np.uint8(90)
    (made,) = rebuild(start, sharp, received, [sharp])
    assert np.abs(made.astype(int) - 90).mean() < 3


def test_a_variant_s_score_is_the_mean_of_its_clips(start: FaceCodecNetworks) -> None:
    cache = made_cache(clips=2, frames=2)
    scores = score_variant(start, cache, stride=1)
    expected = []
    for first, second in ((0, 1), (2, 3)):
        sharp, driving = cache.frames[first], cache.frames[second]
        (made,) = rebuild(start, sharp, KEY_FRAMES["half_size"](sharp), [driving])
        expected.append(score_frame(driving, made, hull_mask(cache.landmarks[second], 512)))
    assert scores["half_size"] == RebuildScore.mean(expected)
    assert scores["mean"] == RebuildScore.mean([scores[kind] for kind in KEY_FRAMES])
    # Untrained networks pass the key frame through, so without motion the rebuild is what arrived.
    stills = [psnr_db(cache.frames[i], KEY_FRAMES["half_size"](cache.frames[i])) for i in (0, 2)]
    assert scores["half_size_still"].psnr_db == pytest.approx(np.mean(stills), abs=1.0)


def test_the_picture_has_a_row_for_each_variant(start: FaceCodecNetworks, tmp_path: Path) -> None:
    cache = made_cache()
    sharp, driving = (np.asarray(cache.frames[i]) for i in (0, 1))
    variants = {name: VARIANTS[name].networks(start, 0).eval() for name in ("full", "without_adaptive_encoder")}
    sheet = feature_sheet(variants, sharp, driving)
    assert sheet.shape == (24 + 2 * (24 + 224), 4 * 224, 3)
    path = tmp_path / "features.png"
    write_sheet(sheet, path)
    with PillowImage.open(path) as picture:
        assert picture.size == (896, 520)
    assert path.stat().st_size < 300_000
    with pytest.raises(ValueError, match=r"pictures: got .*expected \(512, 512, 3\)"):
        feature_sheet(variants, sharp[:100, :100], driving)


def test_the_fine_part_of_noise_is_most_of_it_and_of_a_ramp_next_to_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 64, 64)).astype(np.float32)
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (3, 64, 64)).copy()
    assert fine_part(noise).mean() > 0.9
    assert fine_part(ramp).mean() < 0.01
    # Neither size nor offset of the features matters.
    assert np.allclose(fine_part(5 * noise + 2), fine_part(noise), atol=1e-4)


def test_mistakes_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="variant: got 'half'"):
        AblationConfig(out=tmp_path, variants=("half",), run=RunConfig(steps=1))
    with pytest.raises(ValueError, match="variants compare at equal steps only"):
        AblationConfig(out=tmp_path, run=RunConfig())


def test_an_empty_mean_is_refused() -> None:
    with pytest.raises(ValueError, match="scores: got none"):
        RebuildScore.mean([])
