"""The tables of ``adasr models info``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from adasr.preset_cost import PresetCost
from adasr_core.bundle import ModelBundle, ModelManifest
from benchmarks.graph_cost import GraphCost, graph_cost


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """One model folder whose files were verified.

    Attributes:
        folder: where it lies.
        manifest: what it says of itself.
        graphs: work of each exported graph, counted on the graph.
    """

    folder: Path
    manifest: ModelManifest
    graphs: dict[str, GraphCost]

    def to_json(self) -> dict[str, object]:
        """The description in JSON types."""
        manifest = self.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "codec_id": manifest.codec_id,
            "keypoints": manifest.keypoints,
            "folder": str(self.folder),
            "bytes": {name: file.bytes for name, file in manifest.files.items()},
            "gmac": {name: round(cost.gmac, 4) for name, cost in self.graphs.items()},
            "architecture": dict(manifest.architecture),
            "training": dict(manifest.training),
            "quality": dict(manifest.quality),
            "licence": manifest.licence,
        }


def describe_model(bundle: ModelBundle) -> ModelDescription:
    """Count the graphs of an opened model."""
    graphs: dict[str, GraphCost] = {part: graph_cost(bundle.path(part)) for part in bundle.manifest.graphs}
    return ModelDescription(bundle.folder, bundle.manifest, graphs)


def print_presets(presets: Sequence[PresetCost]) -> None:
    """Print parameters, work, budget and verdict of every part of every size."""
    console = Console(highlight=False)
    for preset in presets:
        table = Table(title=f"{preset.name}: sizes of the architecture", title_justify="left")
        table.add_column("part")
        for heading in ("parameters", "GMAC", "budget", "ok"):
            table.add_column(heading, justify="right")
        for name, part in preset.parts.items():
            budget, ok = "", ""
            if name == "detector":
                budget, ok = f"{preset.budget.detector:g}", _yes_or_no(preset.detector_within_budget)
            table.add_row(name, f"{part.parameters:,}", f"{part.gmac:.3f}", budget, ok)
        table.add_section()
        table.add_row(
            "every frame: motion + generator",
            f"{preset.parts['motion'].parameters + preset.parts['generator'].parameters:,}",
            f"{preset.gmac_per_frame:.3f}",
            f"{preset.budget.frame:g}",
            _yes_or_no(preset.frame_within_budget),
        )
        console.print(table)


def print_model(model: ModelDescription) -> None:
    """Print what is known of one model folder."""
    console = Console(highlight=False)
    manifest = model.manifest
    table = Table(title=f"model {manifest.name} {manifest.version}", title_justify="left")
    table.add_column("file")
    table.add_column("kB", justify="right")
    table.add_column("GMAC", justify="right")
    table.add_column("parameters", justify="right")
    stored = manifest.architecture.get("cost", {})
    for name, file in manifest.files.items():
        gmac = f"{model.graphs[name].gmac:.3f}" if name in model.graphs else ""
        parameters = f"{stored[name]['parameters']:,}" if name in stored else ""
        table.add_row(file.path, f"{file.bytes / 1e3:.0f}", gmac, parameters)
    console.print(table)
    console.print(f"folder     {model.folder}", markup=False, soft_wrap=True)
    console.print(f"codec id   {manifest.codec_id}")
    console.print(f"keypoints  {manifest.keypoints}, frame {manifest.frame_px} px, detector {manifest.detector_px} px")
    console.print(f"licence    {manifest.licence}")
    for title, content in (("training", manifest.training), ("quality", manifest.quality)):
        for key, value in content.items():
            console.print(f"{title:<10} {key}: {json.dumps(value, ensure_ascii=False)}", markup=False, soft_wrap=True)


def _yes_or_no(answer: bool) -> str:
    return "yes" if answer else "NO"
