"""A tiny data set and tiny networks, for tests of training."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from skimage import data

from adasr_core.networks import FaceCodecNetworks, ModelConfig
from training.frame_cache import FrameCache, Twins
from training.generator_stage import GeneratorStage, GeneratorStageConfig
from training.motion_stage import MotionStage, MotionStageConfig
from training.rebuild_source import PatchConfig

TINY = ModelConfig(
    name="tiny",
    frame_px=512,
    detector_px=64,
    detector_widths=(8, 8, 8, 8),
    context_channels=4,
    motion_widths=(8, 8, 8, 8),
    feature_channels=8,
    detail_channels=4,
    encoder_blocks=1,
    generator_blocks=1,
    generator_detail_width=8,
)


def made_frames(
    size_px: int, count: int, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A portrait that drifts, its landmarks, and how far it drifted, in pixels."""
    rng = np.random.default_rng(seed)
    portrait = cv2.resize(data.astronaut()[:256, 96:352], (size_px, size_px), interpolation=cv2.INTER_AREA)
    cloud = np.random.default_rng(0).uniform((-0.3, -0.5, -0.1), (0.3, 0.4, 0.1), (478, 3))
    drifts = rng.integers(-size_px // 16, size_px // 16 + 1, (count, 2))
    pictures = [np.roll(portrait, (dy, dx), (0, 1)) for dx, dy in drifts]
    points = [
        cloud + np.array([dx, dy, 0]) * 2 / size_px + rng.normal(0, 0.002, cloud.shape) * (i > 0)
        for i, (dx, dy) in enumerate(drifts)
    ]
    return np.stack(pictures).astype(np.uint8), np.stack(points).astype(np.float32), drifts


def made_cache(size_px: int, clips: int = 2, frames: int = 4, *, twins: bool = False) -> FrameCache:
    """Clips of that portrait. `twins`: every frame has a twin, which is its negative."""
    pictures, points, _ = made_frames(size_px, clips * frames)
    return FrameCache(
        frames=pictures,
        landmarks=points,
        clip=np.repeat(np.arange(clips), frames).astype(np.int32),
        frame=np.tile(np.arange(frames), clips).astype(np.int32),
        names=tuple(f"{c}.mp4" for c in range(clips)),
        twins=Twins(255 - pictures, np.arange(len(pictures), dtype=np.int32)) if twins else None,
    )


def tiny_networks(seed: int = 0) -> FaceCodecNetworks:
    torch.manual_seed(seed)
    return FaceCodecNetworks(TINY)


def tiny_motion(networks: FaceCodecNetworks, *, train_detector: bool = True) -> MotionStage:
    cache = made_cache(64)
    stills = made_cache(64, clips=3, frames=1)
    config = MotionStageConfig(photo_px=64, still_share=0.3, train_detector=train_detector)
    return MotionStage(networks, [cache, stills], cache, config)


def tiny_generator(networks: FaceCodecNetworks, *, joint: bool = False, chain: float = 0.0) -> GeneratorStage:
    cache = made_cache(512, clips=1, frames=3)
    patches = PatchConfig(patch_px=128, chain=chain)
    return GeneratorStage(networks, cache, cache, GeneratorStageConfig(patches=patches, joint=joint))


def write_data_set(folder: Path, *, train: int = 2, frames: int = 5, size_px: int = 64) -> None:
    """A data set as `adasr train prepare` writes it: clips, a still, landmarks, index.csv."""
    rows = ["split,file,landmarks,identity,size_px,fps,frames,face_px,audio,tier,licence,source"]
    for split, number in [("val", 0), ("stills", 1), *(("train", 2 + i) for i in range(train))]:
        (folder / split).mkdir(parents=True, exist_ok=True)
        count = 1 if split == "stills" else frames
        pictures, points, _ = made_frames(size_px, count, seed=number)
        name = f"{split}/{number}.{'jpg' if split == 'stills' else 'mp4'}"
        if split == "stills":
            cv2.imwrite(str(folder / name), cv2.cvtColor(pictures[0], cv2.COLOR_RGB2BGR))
        else:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(folder / name), code, 25, (size_px, size_px))
            for picture in pictures:
                writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            writer.release()
        quarters = np.round((points + np.array([1, 1, 0])) * size_px / 2 * 4).astype(np.int16)
        np.savez(
            folder / split / f"{number}.npz", landmarks_delta_q=np.diff(quarters, axis=0, prepend=0).astype(np.int16)
        )
        rows.append(f"{split},{name},{split}/{number}.npz,person{number},{size_px},25,{count},40,n,A,none,made")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
