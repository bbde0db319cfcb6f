"""A model folder with a small refiner of random weights, for tests: the shipped model, and a fifth graph."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch

from adasr.sample import sample_clip_path
from adasr_core.bundle import MANIFEST_NAME, ModelBundle, open_bundle
from adasr_core.networks import Refiner, RefinerConfig
from export.add_refiner import add_refiner

Value = TypeVar("Value")
CONFIG = RefinerConfig(width=8, deep_width=8, deep_blocks=1)


def random_refiner(seed: int = 7) -> Refiner:
    """One whose last layer is not left at zero: it changes the picture by some levels of 255."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        refiner = Refiner(CONFIG)
        with torch.no_grad():
            refiner.leave.weight.normal_(std=0.01)
    return refiner.eval()


def plain_edge(folder: Path) -> Path:
    """The shipped model without a refiner of its own, should it have one, and without its checkpoints."""
    folder.mkdir(parents=True)
    edge = open_bundle("edge")
    for part in edge.manifest.parts:
        if part != "refiner":
            shutil.copyfile(edge.path(part), folder / edge.path(part).name)
    manifest = edge.manifest
    plain = dataclasses.replace(
        manifest,
        architecture={name: value for name, value in manifest.architecture.items() if name != "refiner"},
        files=_without(manifest.files),
        inputs=_without(manifest.inputs),
        outputs=_without(manifest.outputs),
    )
    (folder / MANIFEST_NAME).write_text(plain.to_json())
    return folder


def make_refined(folder: Path) -> ModelBundle:
    """Write the model with a random refiner into `folder`, which must not exist."""
    plain_edge(folder)
    checkpoint = folder.parent / "random-refiner.safetensors"
    random_refiner().save(checkpoint, {"made": "by a test"})
    add_refiner(folder, checkpoint, [sample_clip_path()], version="9.9.9")
    return open_bundle(folder)


def _without(parts: Mapping[str, Value]) -> dict[str, Value]:
    return {part: value for part, value in parts.items() if part != "refiner"}
