"""Batches of pairs: made on the host by OpenCV, or on the GPU from frames that lie there.

generators --> draw (host: which frames, which change; stills and host pictures) --> PairBatch
PairBatch  --> pictures (device: upload, or gather and warp)                     --> [2B, 3, S, S] in [0, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.augment import Image
from training.pairs import PairSampler
from training.still_pairs import StillPairs
from training.teacher import Teacher


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """B pairs. The first B rows are key frames, the other B the frames to rebuild.

    made: uint8 [M, 3, S, S], pictures made on the host, and rows [M], where they belong. frames: int64 [2B], frame
    numbers of the rows made on the device. affine [B, 2, 3], gain [B, 3], offset [B]: the change of each pair.
    keypoints [2B, K, 2] and jacobians [2B, K, 2, 2]: the teacher's before the change.
    """

    made: Tensor
    rows: Tensor
    frames: Tensor
    affine: Tensor
    gain: Tensor
    offset: Tensor
    keypoints: Tensor
    jacobians: Tensor

    def __len__(self) -> int:
        """B."""
        return len(self.affine)


class PairSource:
    """Draws batches of pairs of clips, and of bent stills."""

    def __init__(
        self,
        sampler: PairSampler,
        teacher: Teacher,
        *,
        stills: StillPairs | None = None,
        still_share: float = 0.0,
        resident: Tensor | None = None,
    ) -> None:
        """`still_share`: probability of a pair of `stills`. `resident`: the sampler's frames on a GPU, uint8 NHWC."""
        self.sampler, self.teacher, self.stills, self.resident = sampler, teacher, stills, resident
        self.still_share = still_share if stills is not None else 0.0
        self.keypoints, self.jacobians = teacher(sampler.cache.landmarks)

    def draw(self, generators: Sequence[np.random.Generator]) -> PairBatch:
        """One pair from each generator."""
        count, size = len(generators), self.sampler.size_px
        made: dict[int, Image] = {}
        frames = np.zeros(2 * count, np.int64)
        changes = []
        keypoints = np.empty((2 * count, *self.keypoints.shape[1:]), np.float32)
        jacobians = np.empty((2 * count, *self.jacobians.shape[1:]), np.float32)
        for i, rng in enumerate(generators):
            both = [i, count + i]
            # Drawn only where stills are used: without them the samples are those of the clips alone.
            if self.still_share and rng.random() < self.still_share:
                assert self.stills is not None
                pictures, landmarks = self.stills.draw(rng)
                keypoints[both], jacobians[both] = self.teacher(landmarks)
                change = self.sampler.change(rng)
                made |= {row: change.apply(p, size) for row, p in zip(both, pictures, strict=True)}
            else:
                frames[both] = self.sampler.draw(rng)
                keypoints[both], jacobians[both] = self.keypoints[frames[both]], self.jacobians[frames[both]]
                change = self.sampler.change(rng)
                if self.resident is None:
                    cached = self.sampler.cache.frames
                    made |= {row: change.apply(np.asarray(cached[frames[row]]), size) for row in both}
            changes.append(change)
        rows = sorted(made)
        stacked = np.stack([made[r] for r in rows]) if rows else np.empty((0, size, size, 3), np.uint8)
        return PairBatch(
            made=torch.from_numpy(stacked).permute(0, 3, 1, 2),
            rows=torch.tensor(rows, dtype=torch.int64),
            frames=torch.from_numpy(frames),
            affine=torch.from_numpy(np.stack([c.affine for c in changes])),
            gain=torch.from_numpy(np.stack([c.gain for c in changes])),
            offset=torch.tensor([c.offset for c in changes]),
            keypoints=torch.from_numpy(keypoints),
            jacobians=torch.from_numpy(jacobians),
        )

    def pictures(self, batch: PairBatch, device: torch.device) -> Tensor:
        """The batch's pictures on `device`: float32 [2B, 3, S, S] in [0, 1], channels last, key frames first."""
        size, count = self.sampler.size_px, len(batch)
        made = as_pictures(batch.made, device)
        if len(batch.rows) == 2 * count:
            return made
        assert self.resident is not None
        where = batch.frames.to(self.resident.device, non_blocking=True)
        twice = [torch.cat((x, x)).to(device, non_blocking=True) for x in (batch.affine, batch.gain, batch.offset)]
        pictures = change_pictures(self.resident[where], twice[0], twice[1], twice[2], size)
        pictures[batch.rows.to(device, non_blocking=True)] = made
        return pictures.contiguous(memory_format=torch.channels_last)


def as_pictures(images: Tensor, device: torch.device) -> Tensor:
    """uint8 [B, 3, H, W] -> float32 in [0, 1] on `device`, channels last."""
    moved = images.to(device, non_blocking=True).float().div_(255)
    return moved.contiguous(memory_format=torch.channels_last)


def change_pictures(images: Tensor, affine: Tensor, gain: Tensor, offset: Tensor, out_px: int) -> Tensor:
    """`PairChange.apply` for a batch on its device, by GridSample: [B, 3, out_px, out_px] in [0, 1].

    images: uint8 [B, S, S, 3]; affine [B, 2, 3], old to new coordinates; gain [B, 3]; offset [B]. Differs from OpenCV
    by its rounding, and where a picture shrinks below 3/4, which OpenCV averages first.
    """
    x = images.permute(0, 3, 1, 2).float()
    # GridSample wants new to old.
    linear = torch.linalg.inv(affine[..., :2])
    shift = -(linear * affine[:, None, :, 2]).sum(-1, keepdim=True)
    grid = functional.affine_grid(torch.cat((linear, shift), -1), [len(x), 3, out_px, out_px], align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return (x * gain[..., None, None] + offset[:, None, None, None]).clamp(0, 255) / 255


def place_frames(cache_frames: Image, device: torch.device, share: float = 0.5) -> Tensor | None:
    """Frames as a uint8 tensor on a GPU if they take at most `share` of its free memory, else None.

    On a CPU always None: there the memory map is as near.

    Raises:
        ValueError: `share` is not between 0 and 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, expected above 0 and at most 1 of the GPU's free memory")
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if cache_frames.nbytes > share * free:
        return None
    placed = torch.empty(cache_frames.shape, dtype=torch.uint8, device=device)
    # In pieces: the memory map need not be in memory as a whole.
    for at in range(0, len(cache_frames), 512):
        placed[at : at + 512] = torch.from_numpy(np.array(cache_frames[at : at + 512])).to(device)
    return placed
