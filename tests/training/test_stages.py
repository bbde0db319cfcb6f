"""Every stage runs, lowers its loss on a tiny set, and leaves a checkpoint that the next one takes up."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data
from torch import nn

from adasr_core.networks import PRESETS, FaceCodecNetworks
from training.augment import AugmentConfig
from training.detector_stage import DetectorSamples, detector_loss, train_detector
from training.frame_cache import FrameCache, build
from training.generator_stage import PatchConfig, train_generator, worsen
from training.motion_stage import moved_targets, photometric_loss, train_motion
from training.pairs import PairSampler
from training.run import RunConfig, Stage, pick_device
from training.teacher import Teacher


def made_cache(size_px: int, clips: int = 2, frames: int = 4) -> FrameCache:
    """A portrait that drifts, with landmarks that drift along."""
    rng = np.random.default_rng(0)
    portrait = cv2.resize(data.astronaut()[:256, 96:352], (size_px, size_px), interpolation=cv2.INTER_AREA)
    cloud = rng.uniform((-0.3, -0.5, -0.1), (0.3, 0.4, 0.1), (478, 3))
    pictures, points = [], []
    for number in range(clips * frames):
        dx, dy = rng.integers(-size_px // 16, size_px // 16, 2)
        pictures.append(np.roll(portrait, (dy, dx), (0, 1)))
        points.append(cloud + np.array([dx, dy, 0]) * 2 / size_px + rng.normal(0, 0.002, cloud.shape) * (number > 0))
    return FrameCache(
        frames=np.stack(pictures).astype(np.uint8),
        landmarks=np.stack(points).astype(np.float32),
        clip=np.repeat(np.arange(clips), frames).astype(np.int32),
        frame=np.tile(np.arange(frames), clips).astype(np.int32),
        names=tuple(f"{c}.mp4" for c in range(clips)),
    )


def config(out: Path) -> RunConfig:
    return RunConfig(steps=3, batch=2, learning_rate=1e-3, device="cpu", out=out)


def test_detector_loss_falls_on_one_batch() -> None:
    cache = made_cache(256)
    torch.manual_seed(0)
    networks = FaceCodecNetworks(PRESETS["edge"])
    teacher = Teacher.fit(cache.landmarks)
    samples = DetectorSamples([cache], teacher, AugmentConfig(negative=0.0, hide=0.0, rotation_deg=3.0), 256)
    pictures, *targets = samples.batch(4, np.random.default_rng(0))
    optimizer = torch.optim.AdamW(networks.detector.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        loss = detector_loss(networks, pictures.float() / 255, *targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_stages_follow_each_other(tmp_path: Path) -> None:
    small, large = made_cache(256), made_cache(512)
    torch.manual_seed(0)
    networks = FaceCodecNetworks(PRESETS["edge"])
    first = train_detector(networks, [small], small, config(tmp_path / "d.safetensors"), AugmentConfig())
    again, notes = FaceCodecNetworks.load(tmp_path / "d.safetensors")
    assert notes["stage"] == "detector"
    assert int(notes["steps"]) == 3
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    second = train_motion(again, [small], small, config(tmp_path / "m.safetensors"))
    assert not torch.equal(second.motion.head.weight, first.motion.head.weight)
    again, _ = FaceCodecNetworks.load(tmp_path / "m.safetensors")
    third = train_generator(again, large, large, config(tmp_path / "g.safetensors"))
    assert not torch.equal(third.generator.leave.weight, second.generator.leave.weight)
    # Stage 3 must not move what defines the bitstream.
    for key, value in second.detector.state_dict().items():
        assert torch.equal(value, third.detector.state_dict()[key]), key
    lines = [json.loads(line) for line in (tmp_path / "g.jsonl").read_text().splitlines()]
    assert lines[-1]["stage"] == "generator"
    assert lines[-1]["psnr_db"] > 5


def test_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    networks = FaceCodecNetworks(PRESETS["edge"])
    stage = Stage("detector", networks, [networks.detector], config(tmp_path / "x.safetensors"))
    with pytest.raises(FloatingPointError, match=r"detector: loss is nan at step 0; lower --learning-rate"):
        stage.update(torch.tensor(float("nan")))


def test_moving_average_follows_the_weights(tmp_path: Path) -> None:
    networks = FaceCodecNetworks(PRESETS["edge"])
    stage = Stage("motion", networks, [networks.motion], config(tmp_path / "x.safetensors"))
    before = stage.averaged.motion.prior_bias.clone()
    stage.step = 10_000
    stage.update((networks.motion.prior_bias * torch.arange(41.0)).sum())
    after = stage.averaged.motion.prior_bias
    expected = before.lerp(networks.motion.prior_bias, 1 - stage.config.ema)
    torch.testing.assert_close(after, expected)
    assert not torch.equal(before, after)


def test_photometric_loss_is_smallest_at_the_truth() -> None:
    truth = torch.rand(1, 3, 32, 32)
    weight = torch.ones(1, 1, 32, 32)
    exact = photometric_loss(truth, truth, weight)
    assert exact < photometric_loss(truth.roll(1, -1), truth, weight) < photometric_loss(1 - truth, truth, weight)


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


def test_pairs_come_from_one_clip() -> None:
    cache = made_cache(64, clips=3)
    sampler = PairSampler(cache, 64)
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = sampler.draw(rng)
        assert a != b
        assert cache.clip[a] == cache.clip[b]


def test_worsened_key_frame_is_worse() -> None:
    picture = np.ascontiguousarray(data.astronaut())
    always = PatchConfig(shrunk=1.0, compressed=1.0)
    worse = worsen(picture, np.random.default_rng(0), always)
    assert worse.shape == picture.shape
    assert 0.5 < np.abs(worse.astype(float) - picture).mean() < 20
    never = PatchConfig(shrunk=0.0, compressed=0.0)
    assert np.array_equal(worsen(picture, np.random.default_rng(0), never), picture)


def test_device_that_is_not_there_is_named() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        pick_device("cuda")


def test_batch_norm_only_in_the_detector() -> None:
    networks = FaceCodecNetworks(PRESETS["edge"])
    assert all(n.startswith("detector.") for n, m in networks.named_modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.realdata
def test_cache_of_recorded_clips(tmp_path: Path, recorded_clips: list[Path]) -> None:
    count = build(recorded_clips[0].parents[1], tmp_path, split="val", size_px=64, frames_per_clip=2)
    cache = FrameCache.open(tmp_path)
    assert len(cache.frames) == count == 2 * len(recorded_clips)
    # Landmarks lie on the face, which stands near the middle of every clip.
    assert np.abs(cache.landmarks[..., :2].mean(axis=1)).max() < 0.5
