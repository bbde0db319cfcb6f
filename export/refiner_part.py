"""The refiner in a model folder: ``refiner.onnx``, its checkpoint beside it, and what the manifest says of it.

A refiner fits the pictures that the motion field warps and the codec that drew them, not the generator: a model that is
exported again keeps the one it has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adasr_core.bundle import MANIFEST_NAME, BundleError, ModelManifest, Shape, open_bundle
from adasr_core.networks import Refiner
from adasr_core.networks.cost import count
from export.clip_frames import frame_pairs
from export.onnx_graphs import write_graph
from export.parity import ParityRow, check_refiner
from export.refiner_graph import graph_of

REFINER: Literal["refiner"] = "refiner"
REFINER_GRAPH = "refiner.onnx"
REFINER_WEIGHTS = "refiner.safetensors"


@dataclass(frozen=True, slots=True)
class RefinerPart:
    """What a manifest says of a refiner.

    config: `RefinerConfig.to_dict`. cost: parameters and gmac. inputs, outputs: shapes by tensor name. training: notes.
    """

    config: Mapping[str, Any]
    cost: Mapping[str, Any]
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    training: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: ModelManifest) -> RefinerPart:
        """What the manifest of a model with a refiner says.

        Raises:
            ValueError: it was written by something else than this export.
        """
        architecture = manifest.architecture
        try:
            config, cost = architecture[REFINER], architecture["cost"][REFINER]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"manifest of {manifest.name}: architecture says nothing of its refiner (no {error}); give one with "
                "--refiner"
            ) from error
        training = manifest.training.get(REFINER, {})
        return cls(config, cost, manifest.inputs[REFINER], manifest.outputs[REFINER], training)

    def architecture(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest's architecture field `other` with this refiner in it."""
        merged = {**other, REFINER: self.config, "cost": {**other.get("cost", {}), REFINER: self.cost}}
        plain: dict[str, Any] = json.loads(json.dumps(merged))
        return plain

    def training_field(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest's training field `other` with this refiner's notes, unless it has some of its own."""
        return {**({REFINER: self.training} if self.training else {}), **other}


def export_refiner(
    checkpoint: Path, folder: Path, clips: list[Path], frame_px: int
) -> tuple[RefinerPart, list[ParityRow]]:
    """Write graph and checkpoint of a refiner into `folder`, through the parity gate on frames of the clips.

    Raises:
        ParityError: the graph does not compute what torch computes.
        ValueError: the file is no refiner's checkpoint, or the refiner is for frames of another size.
    """
    refiner, notes = Refiner.load(checkpoint)
    if refiner.config.frame_px != frame_px:
        raise ValueError(
            f"{checkpoint}: its refiner is for frames of {refiner.config.frame_px} px, the model's are {frame_px} px; "
            "give one that was trained for this model"
        )
    graph = graph_of(refiner)
    write_graph(REFINER, graph, folder)
    rows = check_refiner(refiner, folder, frame_pairs(clips, frame_px))
    shutil.copyfile(checkpoint, folder / REFINER_WEIGHTS)
    # What runs is what is counted; the graph holds some weights twice, in two orders.
    gmac = count(graph.module, *graph.inputs.values()).gmac
    parameters = sum(weights.numel() for weights in refiner.parameters())
    part = RefinerPart(
        config=refiner.config.to_dict(),
        cost={"parameters": parameters, "gmac": round(gmac, 4)},
        inputs={name: tuple(tensor.shape) for name, tensor in graph.inputs.items()},
        outputs={"frame": (1, 3, frame_px, frame_px)},
        training=notes,
    )
    return part, rows


def kept_refiner(model: Path, folder: Path, frame_px: int) -> RefinerPart | None:
    """Copy the refiner's graph of the model folder `model`, where there is one, into `folder`.

    Raises:
        ValueError: it is damaged, or for frames of another size.
    """
    if not (model / MANIFEST_NAME).is_file():
        return None
    try:
        bundle = open_bundle(model)
    except BundleError as error:
        raise ValueError(
            f"{model}: is there already and damaged, so it cannot be said which refiner it had ({error}); remove the "
            "folder, or name another one"
        ) from error
    if not bundle.has(REFINER):
        return None
    if bundle.manifest.frame_px != frame_px:
        raise ValueError(
            f"{model}: its refiner is for frames of {bundle.manifest.frame_px} px, the new model's are {frame_px} px; "
            "give another one with --refiner"
        )
    shutil.copyfile(bundle.path(REFINER), folder / REFINER_GRAPH)
    return RefinerPart.of(bundle.manifest)
