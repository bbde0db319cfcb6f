"""Add a refiner to a model folder: ``python -m export.add_refiner MODEL --refiner FILE --version V --clips CLIP...``.

A refiner that the model has is replaced. All other files stay as they are, byte for byte, and so does the codec id: it
is a matter of the receiver alone. Nothing changes unless the parity gate is passed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adasr_core.bundle import MANIFEST_NAME, open_bundle, write_manifest
from export.parity import ParityRow
from export.refiner_part import REFINER, REFINER_GRAPH, REFINER_WEIGHTS, export_refiner


def add_refiner(
    model: Path,
    checkpoint: Path,
    clips: list[Path],
    *,
    version: str,
    training: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
) -> list[ParityRow]:
    """Put a refiner into the model folder `model`, or another one in its place; returns the parity table.

    version: of the model from now on. training, quality: added to the manifest's fields.

    Raises:
        ParityError: the graph does not compute what torch computes.
        BundleError: there is no such model, it is damaged, or the version is no version.
        ValueError: the checkpoint is not what it should be.
    """
    bundle = open_bundle(model)
    manifest = bundle.manifest
    with tempfile.TemporaryDirectory(dir=bundle.folder.parent) as made:
        folder = Path(made)
        part, rows = export_refiner(checkpoint, folder, clips, manifest.frame_px)
        files = {name: manifest.files[name].path for name in manifest.parts} | {REFINER: REFINER_GRAPH}
        for name in manifest.parts:
            if name != REFINER:
                shutil.copyfile(bundle.path(name), folder / files[name])
        notes = {name: value for name, value in manifest.training.items() if name != REFINER} | dict(training or {})
        write_manifest(
            folder,
            name=manifest.name,
            version=version,
            architecture=part.architecture(manifest.architecture),
            keypoints=manifest.keypoints,
            frame_px=manifest.frame_px,
            detector_px=manifest.detector_px,
            opset=manifest.opset,
            files=files,
            inputs={**manifest.inputs, REFINER: part.inputs},
            outputs={**manifest.outputs, REFINER: part.outputs},
            training=part.training_field(notes),
            quality={**manifest.quality, **(quality or {})},
            licence=manifest.licence,
        )
        # The manifest last: a folder that is cut off half way fails its own hashes.
        for file in (REFINER_WEIGHTS, REFINER_GRAPH, MANIFEST_NAME):
            os.replace(folder / file, bundle.folder / file)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--refiner", type=Path, required=True, metavar="FILE", help="the refiner's checkpoint")
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="square clips for the parity gate")
    parser.add_argument("--version", required=True, help="version of the model from now on")
    parser.add_argument("--training", type=Path, help="JSON file, added to the manifest's training field")
    parser.add_argument("--quality", type=Path, help="JSON file, added to the manifest's quality field")
    options = parser.parse_args()
    rows = add_refiner(
        options.model,
        options.refiner,
        options.clips,
        version=options.version,
        training=json.loads(options.training.read_text()) if options.training else None,
        quality=json.loads(options.quality.read_text()) if options.quality else None,
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
