"""``adasr models``: what the models cost. ``adasr models info`` checks both sizes against their budgets."""

import argparse

from adasr.commands import Subparsers

EXIT_OVER_BUDGET = 1


def add_parser(subparsers: Subparsers) -> None:
    """Declare the arguments."""
    parser = subparsers.add_parser(
        "models", help="show the models: size, work per frame, quality", description="Show the models."
    )
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    info = kinds.add_parser(
        "info",
        help="parameters and work of every part, and what a model's manifest says",
        description="Show parameters and multiply-accumulates of every part of both sizes and check them against their "
        "budgets (needs torch), then what is known of one model (needs no torch).",
    )
    info.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    info.add_argument("--json", metavar="FILE", help="write the figures as JSON, to the standard output with -")


def run(args: argparse.Namespace) -> int:
    """Count, check, print."""
    from adasr.json_report import write_json_report
    from adasr.model_tables import describe_model, print_model, print_presets
    from adasr.preset_cost import TORCH_MISSING, count_presets
    from adasr_core.bundle import open_bundle

    presets = count_presets()
    speaks = args.json != "-"
    if speaks and presets is None:
        print(TORCH_MISSING)
    elif speaks and presets is not None:
        print_presets(presets)
    model = describe_model(open_bundle(args.model))
    if speaks:
        print_model(model)
    if args.json:
        counted = None if presets is None else {preset.name: preset.to_json() for preset in presets}
        write_json_report({"presets": counted, "model": model.to_json()}, args.json)
    return 0 if presets is None or all(preset.within_budget for preset in presets) else EXIT_OVER_BUDGET
