"""One model on one processor engine in one precision: what a precision table compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from adasr_core.bundle import ModelBundle
from adasr_core.engines import EngineDescription, FaceModel, GraphRunner
from adasr_core.engines.device_model import PARTS, Part
from adasr_core.engines.face_model import REDUCED_PARTS
from adasr_core.engines.graph_model import GraphModel
from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.openvino_runner import OpenVinoRunner, has_bfloat16

CpuEngine = Literal["openvino", "onnxruntime"]
VariantPrecision = Literal["f32", "bf16", "int8"]
VARIANT_PRECISIONS: tuple[VariantPrecision, ...] = get_args(VariantPrecision)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """What runs, and how.

    Attributes:
        engine: what runs the graphs.
        precision: "f32" all of it; "bf16" encoder and generator in bfloat16, as `FaceModel.load` does where it can;
            "int8" a model folder whose manifest says so.
        bfloat16: whether the parts of an int8 model that are not int8 may run in bfloat16.
        bundle: the model folder.
    """

    engine: CpuEngine
    precision: VariantPrecision
    bfloat16: bool
    bundle: ModelBundle

    def __post_init__(self) -> None:
        """Check that the folder is what the precision says. Raises ValueError."""
        stored = self.bundle.manifest.architecture.get("precision", {})
        if bool(stored) != (self.precision == "int8"):
            raise ValueError(f"precision: got {self.precision} for a model folder of {stored or 'float32'}")
        if self.precision == "bf16" and self.engine != "openvino":
            raise ValueError(f"precision: got bf16 on {self.engine}, which computes these graphs in float32 alone")

    def load(self, threads: int, parts: Sequence[Part] = PARTS) -> FaceModel:
        """The graphs named in `parts` on `threads` threads of the processor.

        Raises:
            EngineError: the engine cannot load a graph.
        """
        reduced = self.precision == "bf16" or (self.precision == "int8" and self.bfloat16)
        runners: dict[Part, GraphRunner] = {}
        for part in parts:
            path, picture = self.bundle.path(part), part == "generator"
            runners[part] = (
                OpenVinoRunner(path, threads=threads, reduced=reduced and part in REDUCED_PARTS, picture=picture)
                if self.engine == "openvino"
                else OnnxRuntimeRunner(path, threads=threads, picture=picture)
            )
        return FaceModel(
            self.bundle, GraphModel(runners, EngineDescription(self.engine, "CPU", self.precision, threads))
        )


def variants(
    model: ModelBundle, int8: ModelBundle, engines: Sequence[CpuEngine], precisions: Sequence[VariantPrecision]
) -> list[Variant]:
    """Every precision on every engine that has it, float32 first. bf16 is left out where the processor has none.

    Raises:
        ValueError: `model` is int8, or `int8` is not.
    """
    bfloat16 = "bf16" in precisions and has_bfloat16("CPU")
    return [
        Variant(engine=engine, precision=precision, bfloat16=bfloat16, bundle=int8 if precision == "int8" else model)
        for engine in engines
        for precision in VARIANT_PRECISIONS
        if precision in precisions and (precision != "bf16" or (engine == "openvino" and bfloat16))
    ]
