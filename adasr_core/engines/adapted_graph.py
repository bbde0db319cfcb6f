"""A graph of a model folder with an adapter's weights in place of its own."""

from __future__ import annotations

from adasr_core.adapter import Adapter
from adasr_core.bundle import ModelBundle
from adasr_core.engines.device_model import Part
from adasr_core.graph_weights import read_weights, replace_weights


def adapted_graph(bundle: ModelBundle, part: Part, adapter: Adapter | None) -> bytes | None:
    """A graph with an adapter's weights, as the bytes of an ONNX file; None where the file is to be used as it is.

    Raises:
        AdapterError: a weight of the adapter does not fit the graph.
    """
    if adapter is None or part == "detector" or part == "refiner":
        return None
    model = bundle.path(part).read_bytes()
    changed = adapter.merge(part, read_weights(model))
    return replace_weights(model, changed) if changed else None
