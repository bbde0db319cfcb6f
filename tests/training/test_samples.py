"""Pairs, bent stills, patches, twins, frame caches."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from tests.training.portraits import made_cache, made_frames, tiny_generator, tiny_networks, write_data_set
from training.frame_cache import FrameCache, build, read_frames
from training.motion_estimate import moved_targets
from training.pair_source import PairSource, change_pictures, place_frames
from training.pairs import PairChange, PairSampler
from training.rebuild_source import PatchConfig, RebuildSource, patch_origin, worsen
from training.still_pairs import StillConfig, StillPairs, bent_landmarks, bent_picture
from training.teacher import Teacher
from training.trainer.feeder import sample_generator


def generators(count: int) -> list[np.random.Generator]:
    return [sample_generator(0, 0, i) for i in range(10, 10 + count)]


def test_pairs_come_from_one_clip() -> None:
    cache = made_cache(64, clips=3)
    sampler = PairSampler(cache, 64)
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = sampler.draw(rng)
        assert a != b
        assert cache.clip[a] == cache.clip[b]
    with pytest.raises(ValueError, match="no clip has two frames"):
        PairSampler(made_cache(64, clips=3, frames=1), 64)


def test_pictures_made_on_the_device_are_those_of_the_host() -> None:
    """GridSample and OpenCV apply the same change, but for rounding."""
    smooth = cv2.GaussianBlur(data.astronaut()[:256, 96:352], (0, 0), 2)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        change = PairSampler(made_cache(64), 64).change(rng)
        host = change.apply(np.asarray(smooth, np.uint8), 256)
        device = change_pictures(
            torch.from_numpy(smooth[None]),
            torch.from_numpy(change.affine[None]),
            torch.from_numpy(change.gain[None]),
            torch.tensor([change.offset]),
            256,
        )
        difference = np.abs(device[0].permute(1, 2, 0).numpy() * 255 - host)
        assert difference.mean() < 1.0
        assert np.quantile(difference, 0.999) < 6


def test_source_with_frames_on_the_device_draws_the_same_pairs() -> None:
    cache = made_cache(64)
    teacher, sampler = Teacher.fit(cache.landmarks), PairSampler(cache, 64, near=0.5)
    stills = StillPairs(made_cache(64, clips=2, frames=1), 64)
    host = PairSource(sampler, teacher, stills=stills, still_share=0.4)
    resident = PairSource(
        sampler, teacher, stills=stills, still_share=0.4, resident=torch.from_numpy(cache.frames.copy())
    )
    cpu = torch.device("cpu")
    one, two = host.draw(generators(6)), resident.draw(generators(6))
    assert len(one.made) == 12
    assert 0 < len(two.made) < 12
    torch.testing.assert_close(one.keypoints, two.keypoints)
    difference = (host.pictures(one, cpu) - resident.pictures(two, cpu)).abs()
    assert difference.mean() < 0.02
    assert place_frames(cache.frames, cpu) is None


def test_keypoints_move_with_the_pictures() -> None:
    """After a change the teacher's targets are those of the moved landmarks."""
    cache = made_cache(64)
    teacher = Teacher.fit(cache.landmarks)
    sampler = PairSampler(cache, 64)
    batch = PairSource(sampler, teacher).draw(generators(3))
    points, _ = moved_targets(batch.keypoints, batch.jacobians, torch.cat((batch.affine, batch.affine)))
    for row in range(6):
        landmarks = cache.landmarks[int(batch.frames[row])]
        affine = batch.affine[row % 3].numpy()
        moved = landmarks.copy()
        moved[:, :2] = landmarks[:, :2] @ affine[:, :2].T + affine[:, 2]
        expected, _ = teacher(moved[None])
        if np.linalg.det(affine[:, :2]) > 0:
            np.testing.assert_allclose(points[row].numpy(), expected[0], atol=1e-5)


def test_bent_still_shows_its_landmarks_where_they_are_said_to_be() -> None:
    """A dot painted at each landmark is found at the bent landmark."""
    cache = made_cache(256, clips=1, frames=1)
    chosen = cache.landmarks[0][::40]
    pairs = StillPairs(cache, 256, StillConfig())
    rng = np.random.default_rng(3)
    bend = pairs.bend(cache.landmarks[0], rng)
    assert np.abs(bend).max() > 0.03
    moved = bent_landmarks(chosen, bend)
    assert np.abs(moved - chosen)[:, :2].max() > 0.03
    for before, after in zip(chosen, moved, strict=True):
        picture = np.zeros((256, 256, 3), np.uint8)
        at = (before[:2] + 1) * 128 - 0.5
        cv2.circle(picture, (round(float(at[0])), round(float(at[1]))), 4, (255, 255, 255), -1)
        bent = bent_picture(picture, bend, 256)
        ys, xs = np.nonzero(bent[..., 0] > 127)
        found = np.array([xs.mean(), ys.mean()])
        assert np.linalg.norm(found - ((after[:2] + 1) * 128 - 0.5)) < 1.5
    # Far from the face nothing moves.
    assert np.abs(bend[0, 0]).max() < 0.2 * np.abs(bend).max()


def test_bent_stills_differ_from_each_other() -> None:
    (first, second), landmarks = StillPairs(made_cache(128, clips=1, frames=1), 128).draw(np.random.default_rng(0))
    assert first.shape == second.shape == (128, 128, 3)
    assert np.abs(first.astype(int) - second).mean() > 1
    assert landmarks.shape == (2, 478, 3)
    assert np.abs(landmarks[0] - landmarks[1]).max() > 0.01


def test_worsened_key_frame_is_worse() -> None:
    picture = np.ascontiguousarray(data.astronaut())
    always = PatchConfig(shrunk=1.0, compressed=1.0)
    worse = worsen(picture, np.random.default_rng(0), always)
    assert worse.shape == picture.shape
    assert 0.5 < np.abs(worse.astype(float) - picture).mean() < 20
    never = PatchConfig(shrunk=0.0, compressed=0.0)
    assert np.array_equal(worsen(picture, np.random.default_rng(0), never), picture)


def test_patches_lie_in_the_frame_and_near_the_face() -> None:
    rng = np.random.default_rng(0)
    keypoints = np.full((34, 2), 0.5, np.float32)
    config = PatchConfig(patch_px=128, on_face=1.0)
    corners = np.array([patch_origin(keypoints, 512, rng, config) for _ in range(200)])
    assert (corners >= 0).all()
    assert (corners <= 384).all()
    assert (corners % 8 == 0).all()
    # The face's middle is at pixel 384: corners at 384 - 64 on average.
    assert np.abs(corners.mean(axis=0) - 320).max() < 12


def test_twin_is_the_target_of_an_unharmed_key_frame() -> None:
    """The paper's second pair: source as it is, target super-resolved (here: its negative, which nobody could miss)."""
    always = PatchConfig(patch_px=64, twin=1.0, shrunk=1.0, compressed=1.0, chain=1.0)
    batch = RebuildSource(made_cache(128, twins=True), 128, always).draw(generators(4))
    assert batch.chained == ()
    without = RebuildSource(made_cache(128), 128, always).draw(generators(4))
    assert [row for row, _ in without.chained] == [0, 1, 2, 3]
    key, truth = (x.float().mean(1).flatten() for x in (batch.keys, batch.truths))
    assert torch.corrcoef(torch.stack((key, truth)))[0, 1] < -0.3


def test_chained_rows_are_degraded_and_the_others_are_not() -> None:
    stage = tiny_generator(tiny_networks(), chain=0.5)
    keys = torch.rand(3, 3, 128, 128)
    made = stage._degraded(keys.clone(), ((1, 77),))
    assert torch.equal(made[[0, 2]], keys[[0, 2]])
    assert (made[1] - keys[1]).abs().mean() > 0.05
    assert torch.equal(stage._degraded(keys.clone(), ((1, 77),)), made)


def test_cache_of_a_data_set(tmp_path: Path) -> None:
    write_data_set(tmp_path / "data", train=3)
    (tmp_path / "data/train/2.sr.mp4").write_bytes((tmp_path / "data/train/3.mp4").read_bytes())
    said: list[str] = []
    count = build(
        tmp_path / "data", tmp_path / "c", split="train", size_px=48, frames_per_clip=3, workers=2, say=said.append
    )
    cache = FrameCache.open(tmp_path / "c")
    assert count == len(cache.frames) == 9
    assert cache.frame.tolist() == [0, 2, 4] * 3
    assert said == ["train: 3 of 3 clips decoded"]
    assert cache.twins is not None
    assert cache.twins.row.tolist() == [0, 1, 2, -1, -1, -1, -1, -1, -1]
    np.testing.assert_array_equal(cache.twins.frames, cache.frames[3:6])
    pictures, points, _ = made_frames(64, 5, seed=2)
    np.testing.assert_allclose(cache.landmarks[:3], points[[0, 2, 4]], atol=0.01)
    small = cv2.resize(pictures[0], (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(cache.frames[0].astype(int) - small).mean() < 6
    with pytest.raises(ValueError, match="has no train of 256 px"):
        build(tmp_path / "data", tmp_path / "c", split="train", size_px=48, frames_per_clip=3, min_clip_px=256)
    with pytest.raises(ValueError, match="ends after 5 frames, expected frame 7"):
        read_frames(tmp_path / "data/train/2.mp4", {7})
    with pytest.raises(ValueError, match="not a video that OpenCV opens"):
        read_frames(tmp_path / "data/index.csv")
    with pytest.raises(FileNotFoundError, match="no frame cache"):
        FrameCache.open(tmp_path / "nowhere")


def test_no_change_changes_nothing() -> None:
    picture = np.ascontiguousarray(data.astronaut()[:256, 96:352])
    assert np.array_equal(PairChange.none().apply(picture, 256), picture)


@pytest.mark.realdata
def test_cache_of_recorded_clips(tmp_path: Path, recorded_clips: list[Path]) -> None:
    count = build(recorded_clips[0].parents[1], tmp_path, split="val", size_px=64, frames_per_clip=2)
    cache = FrameCache.open(tmp_path)
    assert len(cache.frames) == count == 2 * len(recorded_clips)
    # Landmarks lie on the face, which stands near the middle of every clip.
    assert np.abs(cache.landmarks[..., :2].mean(axis=1)).max() < 0.5
