"""The shipped model, for tests of the loops and of whole calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from adasr.sample import sample_clip_path
from adasr_core.bundle import ModelBundle, open_bundle

MODEL = "edge"


@pytest.fixture(scope="session")
def bundle() -> ModelBundle:
    """The shipped model."""
    return open_bundle(MODEL)


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """The sample clip: 8 s, 512x512, 25 frames/s."""
    return sample_clip_path()
