"""The metric of motion errors: against what a real warp does when a parameter changes a little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from adasr_core.geometry import FACE_KEYPOINTS
from adasr_core.landmarks import hull_mask
from adasr_core.networks import FaceCodecNetworks
from tests.training.portraits import TINY, made_frames, write_data_set
from training.frame_cache import fitted
from training.motion_sequences import clip_files
from training.picture_sensitivity import COMPARED_PX, SensitivityConfig, pair_metric, picture_metric

Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def networks() -> Iterator[FaceCodecNetworks]:
    """Twelve keypoints: a pair takes as many motion fields as there are parameters. One thread is enough for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield FaceCodecNetworks(replace(TINY, keypoints=12, face_keypoints=8)).eval()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    """Soft pictures: a gradient between pixels is then that of the picture."""
    first, second = (np.asarray(cv2.GaussianBlur(picture, (0, 0), 8), np.uint8) for picture in made_frames(512, 2)[0])
    return first, second


@pytest.fixture(scope="module")
def metric(networks: FaceCodecNetworks, pair: tuple[Image, Image]) -> Floats:
    with torch.no_grad():
        return pair_metric(networks, *pair, SensitivityConfig(), CPU)


class _Warp:
    """The pair's key frame, warped by the motion field of any parameters: what the metric foretells."""

    def __init__(self, networks: FaceCodecNetworks, reference: Image, driving: Image) -> None:
        small = networks.config.detector_px
        both = np.stack([fitted(reference, small), fitted(driving, small)])
        self._networks = networks
        self._found = networks.detector(torch.from_numpy(both).permute(0, 3, 1, 2).float() / 255)
        wide = torch.from_numpy(fitted(reference, networks.config.frame_px)).permute(2, 0, 1)[None].float() / 255
        self._context = networks.encoder(wide)[2]
        self._picture = cv2.GaussianBlur(fitted(reference, COMPARED_PX).astype(np.float32), (0, 0), 0.7)
        points, matrices = self._found.keypoints[1], self._found.jacobians[1]
        self.vector: Floats = torch.cat((points.reshape(-1), matrices.reshape(-1))).numpy().astype(np.float64)
        mask = hull_mask(points[:FACE_KEYPOINTS].numpy(), COMPARED_PX)
        self.face = mask.astype(bool)

    def picture(self, vector: Floats) -> npt.NDArray[np.float32]:
        values = torch.from_numpy(vector.astype(np.float32))
        count = len(vector) // 6
        field = self._networks.motion(
            self._context,
            self._found.keypoints[:1],
            self._found.jacobians[:1],
            values[None, : 2 * count].reshape(1, count, 2),
            values[None, 2 * count :].reshape(1, count, 2, 2),
        )
        size = (COMPARED_PX, COMPARED_PX)
        flow = torch.nn.functional.interpolate(field.flow, size=size, mode="bilinear", align_corners=False)[0].numpy()
        column, row = np.meshgrid(np.arange(COMPARED_PX), np.arange(COMPARED_PX))
        across = (flow[0] * COMPARED_PX / 2 + column).astype(np.float32)
        down = (flow[1] * COMPARED_PX / 2 + row).astype(np.float32)
        made = cv2.remap(self._picture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(made, np.float32)


@pytest.fixture(scope="module")
def warp(networks: FaceCodecNetworks, pair: tuple[Image, Image]) -> _Warp:
    with torch.no_grad():
        return _Warp(networks, *pair)


@torch.no_grad()
def _measured(warp: _Warp, error: Floats, share: float = 0.5) -> float:
    """Loss of the score as a share, from the pictures themselves: both ways, so that curvature cancels."""
    change = (warp.picture(warp.vector + error).astype(np.float64) - warp.picture(warp.vector - error)) / 2
    squared = (change**2).mean(axis=2)
    return float(((1 - share) * squared.mean() + share * squared[warp.face].mean()) / 80.0)


def test_symmetric_and_positive_semidefinite(metric: Floats, networks: FaceCodecNetworks) -> None:
    size = 6 * networks.config.keypoints
    assert metric.shape == (size, size)
    np.testing.assert_allclose(metric, metric.T, rtol=1e-9, atol=1e-12 * np.trace(metric))
    assert np.linalg.eigvalsh(metric).min() >= -1e-9 * np.trace(metric)
    assert np.trace(metric) > 0


def test_single_parameters_against_a_real_warp(metric: Floats, warp: _Warp) -> None:
    """The parameters that matter most: the foretold loss is the measured one."""
    count = len(metric) // 6
    for part, size in ((slice(0, 2 * count), 4e-3), (slice(2 * count, None), 2e-2)):
        own = np.diag(metric)[part]
        for at in np.argsort(own)[::-1][:6] + (part.start or 0):
            error = np.zeros(len(metric))
            error[at] = size
            assert _measured(warp, error) == pytest.approx(error @ metric @ error, rel=0.1)


def test_errors_together_against_a_real_warp(metric: Floats, warp: _Warp) -> None:
    """Errors of all parameters at once, at random: the parts off the diagonal count as well."""
    rng = np.random.default_rng(0)
    count = len(metric) // 6
    sizes = np.concatenate((np.full(2 * count, 1e-3), np.full(4 * count, 5e-3)))
    ratios = []
    for _ in range(6):
        error = rng.normal(size=len(metric)) * sizes
        ratios.append(_measured(warp, error) / (error @ metric @ error))
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    # A shift of all keypoints together is not the sum of its parts.
    shift = np.zeros(len(metric))
    shift[: 2 * count : 2] = 4e-3
    together = shift @ metric @ shift
    assert _measured(warp, shift) == pytest.approx(together, rel=0.1)
    assert together > 1.5 * (np.diag(metric) * shift**2).sum()


def test_the_face_share_and_the_usual_error(
    networks: FaceCodecNetworks, pair: tuple[Image, Image], metric: Floats, warp: _Warp
) -> None:
    """The shares weigh the two parts, and the face alone counts what happens in its hull."""
    with torch.no_grad():
        whole = pair_metric(networks, *pair, SensitivityConfig(face_share=0.0), CPU)
        # Twice the usual error makes the same error matter half as much.
        face = 2 * pair_metric(networks, *pair, SensitivityConfig(face_share=1.0, usual_error=160.0), CPU)
    np.testing.assert_allclose((whole + face) / 2, metric, atol=1e-9 * np.trace(metric))
    error = np.zeros(len(metric))
    error[int(np.argmax(np.diag(metric)[: len(metric) // 3]))] = 4e-3
    for share, one in ((0.0, whole), (1.0, face)):
        assert _measured(warp, error, share) == pytest.approx(error @ one @ error, rel=0.1)


def test_a_flat_picture_shows_no_errors(networks: FaceCodecNetworks) -> None:
    flat = np.full((512, 512, 3), 90, np.uint8)
    with torch.no_grad():
        assert np.abs(pair_metric(networks, flat, flat, SensitivityConfig(), CPU)).max() < 1e-9


def test_the_mean_of_clips(networks: FaceCodecNetworks, tmp_path: Path) -> None:
    """Every clip has one voice: the mean is that of the clips' own metrics, scaled to the median trace."""
    write_data_set(tmp_path, train=2, frames=1)
    clips = clip_files(tmp_path, "train", 2)
    said: list[str] = []
    mean = picture_metric(networks, clips, device="cpu", say=said.append)
    assert said == ["sensitivity: 2 of 2 clips"]
    singles = [picture_metric(networks, [clip], device="cpu") for clip in clips]
    median = np.median([np.trace(single) for single in singles])
    expected = sum(single / np.trace(single) for single in singles) / 2 * median
    np.testing.assert_allclose(mean, expected, atol=1e-6 * median)
