"""Make a model folder: ``python -m export.export_model CHECKPOINT --tables FILE --out models/edge --clips CLIP...``.

With ``--bitstream-of models/edge`` instead of ``--tables`` it is another decoder of that bitstream: detector and
tables are that model's files, so the codec id is the same.

Exports the graphs, runs the parity gate on frames of the clips, and writes the manifest with every file's hash.
The checkpoint itself goes beside them as ``weights.safetensors``, to train on from; with ``--half`` it takes half the
room, and the graphs hold the same rounded weights. A refiner (``--refiner``) is a part that a model may have; without
the option a folder that has one keeps it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from adasr_core.bitstream.tables import MotionTables
from adasr_core.bundle import ModelPart, open_bundle, write_manifest
from adasr_core.networks import FaceCodecNetworks
from adasr_core.networks.cost import model_cost
from export.clip_frames import frame_pairs
from export.half_checkpoint import rounded_to_half, save_half
from export.onnx_graphs import OPSET, export_graphs, graphs
from export.parity import ParityRow, check_parity
from export.refiner_part import REFINER, REFINER_GRAPH, RefinerPart, export_refiner, kept_refiner

WEIGHTS = "weights.safetensors"
# Trained on clips of people that are research data: not the code's licence.
LICENCE = "LicenseRef-research-and-demonstration"


def check_same_detector(networks: FaceCodecNetworks, model: Path) -> None:
    """Raises ValueError when `networks` have another detector than the weights of the model folder `model`."""
    theirs = FaceCodecNetworks.load(model / WEIGHTS)[0].detector.state_dict()
    mine = networks.detector.state_dict()
    if mine.keys() != theirs.keys() or not all(torch.equal(mine[name], theirs[name]) for name in mine):
        raise ValueError(
            f"detector: got other weights than {model / WEIGHTS} has; a decoder of its bitstream is trained with "
            f"--start-from or --detector {model / WEIGHTS}"
        )


def export_model(
    checkpoint: Path,
    tables: Path | None,
    out: Path,
    clips: list[Path],
    *,
    name: str,
    version: str,
    training: dict[str, object],
    quality: dict[str, object],
    bitstream_of: Path | None = None,
    half: bool = False,
    refiner: Path | None = None,
    report: Callable[[str], None] = print,
) -> list[ParityRow]:
    """Export `checkpoint` into `out`, whole or not at all; returns the parity table.

    `bitstream_of`: a model folder whose detector and tables are taken over; `tables` is None then. `half`: all weights
    but the detector's are rounded to half precision, and the checkpoint holds them so. `refiner`: checkpoint of one;
    None keeps the one that `out` has. `report` is given a line about it.

    Raises:
        ParityError: a graph does not compute what torch computes.
        ValueError: a checkpoint or the tables are not what they should be, or `out` is a damaged model.
    """
    networks, notes = FaceCodecNetworks.load(checkpoint)
    if half:
        networks = rounded_to_half(networks)
    config = networks.config
    if (tables is None) == (bitstream_of is None):
        raise ValueError("tables and bitstream_of: expected one of the two")
    if bitstream_of is not None:
        check_same_detector(networks, bitstream_of)
        tables = open_bundle(bitstream_of).path("tables")
    assert tables is not None
    MotionTables.load(tables)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        folder = Path(made)
        export_graphs(networks, folder)
        if bitstream_of is not None:
            # The same weights, but only the same bytes have the same hash.
            shutil.copyfile(open_bundle(bitstream_of).path("detector"), folder / "detector.onnx")
        rows = check_parity(networks, folder, frame_pairs(clips, config.frame_px))
        part: RefinerPart | None
        if refiner is not None:
            part, refiner_rows = export_refiner(refiner, folder, clips, config.frame_px)
            rows += refiner_rows
            report(f"refiner: {refiner}")
        else:
            part = kept_refiner(out, folder, config.frame_px)
            if part is not None:
                report(f"refiner: kept, the one that {out} has")
        shutil.copyfile(tables, folder / "tables.safetensors")
        if half:
            save_half(networks, folder / WEIGHTS, notes)
        else:
            shutil.copyfile(checkpoint, folder / WEIGHTS)
        described = graphs(networks)
        inputs: dict[str, Mapping[str, Sequence[int | str]]] = {
            g: {n: list(t.shape) for n, t in graph.inputs.items()} for g, graph in described.items()
        }
        outputs: dict[str, Mapping[str, Sequence[int | str]]] = {
            g: dict(zip(graph.outputs, output_shapes(graph.module, graph.inputs), strict=True))
            for g, graph in described.items()
        }
        cost = model_cost(config)
        parts = {part: getattr(cost, part) for part in ("detector", "encoder", "motion", "generator")}
        architecture = config.to_dict() | {
            "cost": {p: {"parameters": c.parameters, "gmac": round(c.gmac, 4)} for p, c in parts.items()}
        }
        files: dict[ModelPart, str] = {
            "detector": "detector.onnx",
            "encoder": "encoder.onnx",
            "motion": "motion.onnx",
            "generator": "generator.onnx",
            "tables": "tables.safetensors",
        }
        if part is not None:
            files[REFINER] = REFINER_GRAPH
            inputs[REFINER], outputs[REFINER] = part.inputs, part.outputs
            architecture, training = part.architecture(architecture), part.training_field(training)
        write_manifest(
            folder,
            name=name,
            version=version,
            architecture=json.loads(json.dumps(architecture)),
            keypoints=config.keypoints,
            frame_px=config.frame_px,
            detector_px=config.detector_px,
            opset=OPSET,
            files=files,
            inputs=inputs,
            outputs=outputs,
            training=training,
            quality=quality,
            licence=LICENCE,
        )
        out.mkdir(exist_ok=True)
        # The manifest last: a folder that is cut off half way fails its own hashes.
        for file in sorted(folder.iterdir(), key=lambda f: f.name == "manifest.json"):
            shutil.copyfile(file, out / file.name)
    return rows


def output_shapes(module: nn.Module, inputs: dict[str, Tensor]) -> list[list[int]]:
    """Shapes of what a graph returns for its example inputs."""
    with torch.no_grad():
        outputs = module(*inputs.values())
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    return [list(o.shape) for o in outputs]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    bitstream = parser.add_mutually_exclusive_group(required=True)
    bitstream.add_argument("--tables", type=Path, help="tables of a new bitstream (adasr train tables)")
    bitstream.add_argument("--bitstream-of", type=Path, metavar="MODEL", help="model folder whose bitstream it decodes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="square clips for the parity gate")
    parser.add_argument("--refiner", type=Path, metavar="FILE", help="checkpoint of a refiner (default: as OUT has)")
    parser.add_argument("--half", action="store_true", help="round the weights to half precision; not the detector's")
    parser.add_argument("--name", default="edge")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--training", type=Path, help="JSON file for the manifest's training field")
    parser.add_argument("--quality", type=Path, help="JSON file for the manifest's quality field")
    options = parser.parse_args()
    rows = export_model(
        options.checkpoint,
        options.tables,
        options.out,
        options.clips,
        name=options.name,
        version=options.version,
        training=json.loads(options.training.read_text()) if options.training else {},
        quality=json.loads(options.quality.read_text()) if options.quality else {},
        bitstream_of=options.bitstream_of,
        half=options.half,
        refiner=options.refiner,
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
