"""``adasr export``: a model for one kind of machine: TensorRT engines for a GPU, int8 graphs for a processor."""

import argparse

from adasr.commands import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    from adasr import int8_export
    from adasr.sample import sample_clip_path
    from export.build_engine import add_arguments

    parser = subparsers.add_parser(
        "export",
        help="fit a model to a machine: TensorRT engines, int8 graphs",
        description="Fit a model to a machine.",
    )
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    engine = kinds.add_parser(
        "engine",
        help="build TensorRT engines on the GPU that will run them",
        description="Build TensorRT engines on the GPU that will run them (docs/deployment.md). Exit code 0: built, "
        "and alike if --check was asked for. 1: built, not alike. 2: something is missing, or TensorRT refused.",
    )
    add_arguments(engine, [sample_clip_path()])
    int8 = kinds.add_parser(
        "int8",
        help="quantise a model for processors, keep it if it is faster and as good",
        description="Quantise motion field and generator to int8, calibrated on clips (docs/int8.md).",
    )
    int8_export.add_arguments(int8)


def run(args: argparse.Namespace) -> int:
    """Run the kind."""
    if args.kind == "int8":
        from adasr import int8_export

        return int8_export.run(args)
    from adasr.preset_folder import open_model
    from export.build_engine import run as build

    args.model = str(open_model(args.model).folder)
    return build(args)
