"""The metrics that need torch, MediaPipe or published weights, taken while the frames of a clip go by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from adasr.colour import RgbImage
from training.face_mesh import FaceMesh
from training.metrics import (
    FrechetDistance,
    IdentityDistance,
    KeypointDistance,
    PerceptualDistance,
    WeightsMissingError,
    ms_ssim,
    ssim,
    ssimulacra2,
)

FramePair = tuple[RgbImage, RgbImage]
"""A source frame and its rebuild, uint8 [S, S, 3] RGB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Strides:
    """Every how many frames a metric is taken; PSNR, sharpness and AKD are taken on every frame."""

    similarity: int = 10
    """SSIM and MS-SSIM, LPIPS, FID and AED, frames."""
    ssimulacra2: int = 10
    """SSIMULACRA2, frames."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("similarity", "ssimulacra2"):
            if getattr(self, name) < 1:
                raise ValueError(f"stride of {name}: got {getattr(self, name)}, expected at least 1")


@dataclass(frozen=True, slots=True)
class MetricNetworks:
    """The networks of the metrics that need one.

    perceptual, frechet, identity: None where weights or packages are missing. face_mesh: whether MediaPipe is there.
    missing: for every metric that cannot be taken, one line on why and what would help.
    """

    perceptual: PerceptualDistance | None
    frechet: FrechetDistance | None
    identity: IdentityDistance | None
    face_mesh: bool
    missing: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(
        cls,
        *,
        lpips_weights: Path | None = None,
        fid_weights: Path | None = None,
        aed_network: Path | None = None,
        with_frechet: bool = True,
    ) -> MetricNetworks:
        """Load what is there; a path that was given must work. `with_frechet`: whether FID's network is wanted at all.

        Raises:
            OSError: a given file does not exist.
            ValueError: a given file is not what it should be.
        """
        missing: dict[str, str] = {}
        perceptual, frechet = None, None
        try:
            perceptual = PerceptualDistance(lpips_weights)
        except WeightsMissingError as error:
            missing["lpips"] = str(error)
        try:
            frechet = FrechetDistance(fid_weights) if with_frechet else None
        except WeightsMissingError as error:
            missing["fid"] = str(error)
        try:
            FaceMesh().close()
        except ModuleNotFoundError as error:
            missing["akd_px"] = missing["akd68_l1_px"] = str(error)
        identity = None
        if aed_network is None:
            missing["aed"] = "aed: no face recognition network; name one in ONNX form (ArcFace, OpenFace) by its option"
        elif "akd_px" in missing:
            missing["aed"] = f"aed: faces are aligned by their landmarks: {missing['akd_px']}"
        else:
            identity = IdentityDistance(aed_network)
        return cls(perceptual, frechet, identity, "akd_px" not in missing, missing)


class ClipMeasures:
    """Takes the metrics of one clip. The first frame is left out: there the key frame is the frame.

    Source and rebuilt frames each have a face mesh of their own that tracks from frame to frame, so that both are
    seen in the same way and none helps the other.

    sampled: the pairs that FID is to count, where they were to be kept: it is taken over all clips together.
    """

    def __init__(self, size_px: int, networks: MetricNetworks, strides: Strides, *, keep_sampled: bool = False) -> None:
        self.sampled: list[FramePair] = []
        self._keep_sampled = keep_sampled
        self._networks = networks
        self._strides = strides
        self._rows: dict[str, list[float]] = {"ssim": [], "ms_ssim": [], "ssimulacra2": [], "lpips": [], "aed": []}
        self._keypoints = KeypointDistance(size_px)
        self._meshes: tuple[FaceMesh, FaceMesh] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._networks.face_mesh:
            self._meshes = self._open.enter_context(FaceMesh()), self._open.enter_context(FaceMesh())
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def watch(self, pairs: Iterator[FramePair]) -> Iterator[FramePair]:
        """Pass pairs (source, rebuilt) through and measure them."""
        for number, (source, rebuilt) in enumerate(pairs):
            self._take(number, source, rebuilt)
            yield source, rebuilt

    def _take(self, number: int, source: RgbImage, rebuilt: RgbImage) -> None:
        points = tuple(
            mesh.landmarks(picture) for mesh, picture in zip(self._meshes or (), (source, rebuilt), strict=False)
        )
        if number == 0:
            return
        if points:
            self._keypoints.add(*points)
        if (number - 1) % self._strides.ssimulacra2 == 0:
            self._rows["ssimulacra2"].append(ssimulacra2(source, rebuilt))
        if (number - 1) % self._strides.similarity:
            return
        self._rows["ssim"].append(ssim(source, rebuilt))
        self._rows["ms_ssim"].append(ms_ssim(source, rebuilt))
        if self._networks.perceptual is not None:
            self._rows["lpips"].append(self._networks.perceptual(source, rebuilt))
        if self._keep_sampled:
            self.sampled.append((source, rebuilt))
        if self._networks.identity is not None and all(p is not None for p in points):
            first, second = points
            assert first is not None
            assert second is not None
            self._rows["aed"].append(self._networks.identity(source, rebuilt, first, second))

    def to_json(self) -> dict[str, float | None]:
        """Means over the frames that were measured, by name; None where nothing was."""
        return {
            **{name: float(np.mean(values)) if values else None for name, values in self._rows.items()},
            "fid": None,
            "akd_px": self._keypoints.akd_px,
            "akd68_l1_px": self._keypoints.akd68_l1_px,
            "akd_missing": float(self._keypoints.missing) if self._meshes else None,
        }
