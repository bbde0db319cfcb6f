"""Fixtures that the tests of several packages share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from adasr_core.bitstream.entropy import TOTAL
from adasr_core.bitstream.prediction import MODES
from adasr_core.bitstream.tables import MotionTables
from adasr_core.bundle import ModelBundle
from fuzz.made_tables import laplace_rows


@cache
def _synthetic_tables(K: int, seed: int = 0) -> MotionTables:
    generator = np.random.default_rng(seed)
    size, components = 6 * K, min(40, 6 * K)
    basis = np.linalg.qr(generator.normal(size=(size, components)))[0].T.astype(np.float32)
    steps = np.full(components, 0.01)
    deviations = 0.3 * 0.9 ** np.arange(components)
    rows = np.clip(np.rint(4 * np.log2(deviations / steps)) + 24, 0, 63)
    square = np.linspace(-0.6, 0.6, K)
    identity = np.tile(np.eye(2).reshape(-1), K)
    return MotionTables(
        basis=basis,
        synthesis=np.ascontiguousarray(basis.T),
        steps=steps.astype(np.float32),
        scales=np.tile(rows, (MODES, 1)).astype(np.uint8),
        frequencies=laplace_rows(2.0 ** ((np.arange(64) - 24) / 4), radius=31),
        activity_offsets=np.array([-12, -6, 0, 6], np.int8),
        activity_frequencies=np.full((MODES, 4), TOTAL // 4, np.uint16),
        reference_mean=np.concatenate((np.stack((square, square), axis=1).reshape(-1), identity)).astype(np.float32),
        reference_steps=np.concatenate((np.full(2 * K, 1 / 512), np.full(4 * K, 1 / 64))).astype(np.float32),
        reference_frequencies=laplace_rows(np.full(size, 12.0), radius=63),
    )


@pytest.fixture(scope="session")
def synthetic_tables() -> Callable[[int], MotionTables]:
    """Tables for K keypoints, made up but sound: `synthetic_tables(40)`. Equal K gives the same object."""

    def build(K: int) -> MotionTables:
        return _synthetic_tables(K)

    return build


@pytest.fixture(scope="session")
def refined(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The shipped model with a small refiner of random weights (`tests.refiners`)."""
    # Imported here: torch is slow to load, and few tests need it.
    from tests.refiners import make_refined

    return make_refined(tmp_path_factory.mktemp("refined") / "model")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, saying why: `realdata` without the clips, `gpu` without one."""
    without_data = pytest.mark.skip(reason="ADASR_DATA is unset: set it to the folder of the recorded clips")
    without_gpu = pytest.mark.skip(reason="no NVIDIA GPU that torch can use")
    for item in items:
        if item.get_closest_marker("realdata") and not os.environ.get("ADASR_DATA"):
            item.add_marker(without_data)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(without_gpu)


@cache
def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def recorded_clips() -> list[Path]:
    """The recorded validation clips, square, in the folder named by ADASR_DATA; for tests marked `realdata`."""
    clips = sorted((Path(os.environ["ADASR_DATA"]) / "val").glob("*.mp4"))
    assert clips, "ADASR_DATA holds no val/*.mp4"
    return clips
