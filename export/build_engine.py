"""Build TensorRT engines: ``python export/build_engine.py --model models/edge --out DIR --check --clips CLIP``.

Runs on the machine and the GPU that will use them. Exit codes: 0 built (and alike, with --check), 1 built but not
alike, 2 a mistake, something missing, or TensorRT refused; the message says what to do. See docs/deployment.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # Run by its path, Python looks for modules beside this file; they lie one folder up.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from adasr_core.engines.runner import EngineError, gpu_number

if TYPE_CHECKING:
    from adasr_core.bundle import ModelBundle
    from adasr_core.engines.tensorrt_metadata import EngineFile
    from export.clip_frames import Image
    from export.engine_builder import EngineConfig
    from export.recorded_inputs import Inputs

EXIT_DIFFERENT = 1
EXIT_MISTAKE = 2
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
MISSING_ONNX = "the package onnx cannot be imported ({error}); pip install 'adasr[tensorrt]'"


def add_arguments(parser: argparse.ArgumentParser, clips: Sequence[Path] = ()) -> None:
    """Declare the arguments; imports nothing heavy. `clips`: what --clips is when it is not given."""
    parser.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the engines (default: where calls look)")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="fp16",
        help="of encoder, generator and refiner; the rest is float32 (fp16)",
    )
    parser.add_argument(
        "--batch",
        nargs="+",
        default=["1"],
        metavar="N",
        help="frames in one launch, one engine each: 1 8 32 or 1,8,32 (1)",
    )
    parser.add_argument("--device", metavar="N", help="number of the GPU, as nvidia-smi counts (0)")
    parser.add_argument("--effort", type=int, default=3, metavar="N", help="TensorRT's optimisation level, 0 to 5 (3)")
    parser.add_argument("--workspace", type=int, metavar="MIB", help="most device memory for one kernel, MiB")
    parser.add_argument("--tf32", action="store_true", help="let float32 convolutions run in TF32: faster, less exact")
    parser.add_argument(
        "--check", action="store_true", help="compare the engines with ONNX Runtime on frames of --clips"
    )
    parser.add_argument(
        "--clips",
        type=Path,
        nargs="+",
        default=list(clips),
        metavar="CLIP",
        help="square clips of faces for --check and int8",
    )
    parser.add_argument("--frames", type=int, default=4, metavar="N", help="frames of each clip to use (4)")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="make the graphs, check them against TensorRT's documented operators, write them as ONNX; needs no GPU",
    )


def run(args: argparse.Namespace) -> int:
    """Build, and check if asked to; returns the exit code.

    Raises:
        EngineError: CUDA, TensorRT or onnx is missing, or TensorRT refused.
        ValueError: an argument or the model is wrong.
    """
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise EngineError(MISSING_ONNX.format(error=error)) from error
    from adasr_core.bundle import open_bundle
    from adasr_core.engines.cuda_device import CudaDevice
    from adasr_core.engines.tensorrt_engine import import_tensorrt
    from adasr_core.engines.tensorrt_model import engine_folder
    from export.clip_frames import frame_pairs
    from export.engine_builder import EngineConfig, build_engines
    from export.recorded_inputs import record_inputs
    from export.tensorrt_build import BuilderConfig

    config = EngineConfig(
        precision=args.precision,
        batches=_batches(args.batch),
        builder=BuilderConfig(effort=args.effort, workspace_mib=args.workspace, tf32=args.tf32),
    )
    needs_clips = args.check or config.precision == "int8"
    if needs_clips and not args.clips:
        raise ValueError("clips: got none, expected some for --check and int8; name one: --clips CLIP")
    if args.frames < 1:
        raise ValueError(f"--frames: got {args.frames}, expected 1 or more")
    bundle = open_bundle(args.model)
    out = engine_folder(bundle, args.out)
    pairs = frame_pairs(args.clips, bundle.manifest.frame_px, per_clip=args.frames) if needs_clips else []
    recorded = record_inputs(bundle, pairs) if config.precision == "int8" else []
    if args.dry_run:
        return _write_graphs(bundle, out, config, recorded)
    import_tensorrt()
    device = CudaDevice(gpu_number(args.device))
    try:
        print(f"{bundle.manifest.name} {bundle.manifest.version} for {device.gpu} into {out}", flush=True)
        files = build_engines(bundle, out, config, device, recorded)
    finally:
        device.close()
    return _check(bundle, files, args.device, pairs, config.precision) if args.check else 0


def _batches(texts: Sequence[str]) -> tuple[int, ...]:
    """Read "1", "8,32": numbers apart or with commas."""
    sizes = [size for text in texts for size in text.split(",")]
    if not all(size.isdecimal() for size in sizes):
        raise ValueError(f"--batch: got {' '.join(texts)}, expected numbers: 1 8 32")
    return tuple(int(size) for size in sizes)


def _write_graphs(bundle: ModelBundle, out: Path, config: EngineConfig, recorded: Sequence[Inputs]) -> int:
    from export.engine_builder import engine_graphs

    out.mkdir(parents=True, exist_ok=True)
    for graph in engine_graphs(bundle, config, recorded):
        path = out / f"{graph.part}-b{graph.batch}-{graph.precision}-{graph.sha256[:12]}.onnx"
        path.write_bytes(graph.content)
        print(f"{path.name}: {len(graph.content) / 1e6:.1f} MB, TensorRT is documented to run all of it")
    return 0


def _check(
    bundle: ModelBundle, files: list[EngineFile], device: str | None, pairs: list[tuple[Image, Image]], precision: str
) -> int:
    from adasr_core.engines.face_model import FaceModel
    from adasr_core.engines.tensorrt_model import load_built
    from export.engine_check import check_engines

    model = FaceModel(bundle, load_built(bundle, files, device=device))
    try:
        rows = check_engines(model, bundle, pairs, precision)
    finally:
        model.close()
    print("\n".join(str(row) for row in rows))
    failed = [row.output for row in rows if not row.ok]
    if failed:
        print(f"not alike: {', '.join(failed)}; try --precision {'fp16' if precision == 'int8' else 'fp32'}")
    return EXIT_DIFFERENT if failed else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (EngineError, ValueError, OSError) as error:
        print(f"build_engine: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_MISTAKE


if __name__ == "__main__":
    sys.exit(main())
