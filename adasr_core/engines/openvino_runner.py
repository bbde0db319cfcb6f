"""Graphs on OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import openvino as ov
import openvino.opset13 as opset

from adasr_core.engines.runner import AnyArray, EngineError

_CORE = ov.Core()
_REORDERINGS = ("Reshape", "Transpose")


def has_bfloat16(device: str) -> bool:
    """Whether `device` computes in bfloat16 natively."""
    return "BF16" in _CORE.get_property(device, "OPTIMIZATION_CAPABILITIES")


class OpenVinoRunner:
    """A graph compiled for one OpenVINO device."""

    def __init__(
        self,
        path: Path,
        *,
        device: str = "CPU",
        threads: int | None = None,
        streams: int | None = None,
        reduced: bool = False,
        picture: bool = False,
        pictures_in: Sequence[str] = (),
        content: bytes | None = None,
    ) -> None:
        """Compile `path`, or `content` in its stead: the same graph with other weights.

        `threads`: None for all cores. `streams`: so many threads may run the graph at once, each run on one core; None
        for one run at a time. `reduced`: compute in bfloat16 where the processor has it. `picture`: the one output
        [1, 3, H, W] in [0, 1] comes as uint8 [1, H, W, 3], converted by the engine. `pictures_in`: so are these inputs
        given.

        Raises:
            EngineError: no such device, or the graph does not compile on it.
        """
        if device.split(".")[0] not in {d.split(".")[0] for d in _CORE.available_devices}:
            raise EngineError(f"OpenVINO device: got {device!r}, this machine has {_CORE.available_devices}")
        self._device = device
        self._precision = "bf16" if reduced and has_bfloat16(device) else "f32"
        options: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": self._precision}
        if threads is not None and device == "CPU":
            options["INFERENCE_NUM_THREADS"] = threads
        if streams is not None and device == "CPU":
            # Pinned threads of two processes would share the first cores and leave the others idle.
            options |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams, "ENABLE_CPU_PINNING": False}
        try:
            model = _CORE.read_model(path if content is None else content)
            if pictures_in:
                model = _from_pictures(model, pictures_in)
            if picture:
                model = _as_picture(model)
            compiled = _CORE.compile_model(model, device, options)
        except RuntimeError as error:
            raise EngineError(
                f"{path.name}: OpenVINO cannot load it on {device}: {str(error).splitlines()[0]}"
            ) from error
        self._requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(streams or 1):
            self._requests.put(compiled.create_infer_request())
        self._types = {
            name: np.dtype(np.uint8) if name in pictures_in else np.dtype(np.float32)
            for name in (value.get_any_name() for value in compiled.inputs)
        }
        self._outputs = [(output.get_any_name(), index) for index, output in enumerate(compiled.outputs)]

    @property
    def device(self) -> str:
        """OpenVINO's name of the device."""
        return self._device

    @property
    def precision(self) -> str:
        """Inference precision of the convolutions."""
        return self._precision

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Run once; inputs are read in place, outputs copied out. Waits where every stream is taken."""
        # The request borrows this memory; `held` keeps it alive until the run is over.
        held = {name: np.ascontiguousarray(value, self._types[name]) for name, value in inputs.items()}
        request = self._requests.get()
        try:
            for name, value in held.items():
                request.set_tensor(name, ov.Tensor(value, shared_memory=True))
            request.infer()
            return {name: request.get_output_tensor(index).data.copy() for name, index in self._outputs}
        finally:
            self._requests.put(request)


def _from_pictures(model: ov.Model, names: Sequence[str]) -> ov.Model:
    """Let inputs [1, 3, H, W] in [0, 1] be uint8, channels last."""
    for name in names:
        (old,) = [parameter for parameter in model.get_parameters() if name in parameter.output(0).get_names()]
        n, channels, height, width = old.get_output_shape(0)
        new = opset.parameter([n, height, width, channels], ov.Type.u8, name)
        new.output(0).set_names({name})
        taken, given = old.output(0), opset.transpose(new, np.array([0, 3, 1, 2]))
        # What only reorders the picture goes before the conversion: it then moves bytes instead of floats.
        while (node := _only_reordering(taken)) is not None:
            given, taken = _again(node, given), node.output(0)
        planes = opset.divide(opset.convert(given, "f32"), np.float32(255))
        for reader in taken.get_target_inputs():
            reader.replace_source_output(planes.output(0))
        model.remove_parameter(old)
        model.add_parameters([new])
    model.validate_nodes_and_infer_types()
    return model


def _as_picture(model: ov.Model) -> ov.Model:
    """Make the output [1, 3, H, W] in [0, 1] uint8, channels last; what only reorders it comes after the conversion."""
    name = model.outputs[0].get_any_name()
    frame = model.outputs[0].get_node().input_value(0)
    reordering = []
    while frame.get_node().get_type_name() in _REORDERINGS:
        reordering.append(frame.get_node())
        frame = frame.get_node().input_value(0)
    rounded = opset.add(opset.multiply(frame, np.float32(255)), np.float32(0.5))
    result = opset.convert(rounded, "u8")
    for node in reversed(reordering):
        result = _again(node, result)
    result = opset.transpose(result, np.array([0, 2, 3, 1]))
    result.output(0).set_names({f"{name}"})
    return ov.Model([opset.result(result)], model.get_parameters(), model.get_friendly_name())


def _only_reordering(value: ov.Output) -> ov.Node | None:
    """The one node that reads a value, if all that it does is to reorder it."""
    readers = list(value.get_target_inputs())
    if len(readers) != 1 or readers[0].get_index() != 0:
        return None
    node: ov.Node = readers[0].get_node()
    return node if node.get_type_name() in _REORDERINGS else None


def _again(node: ov.Node, value: ov.Node) -> ov.Node:
    """The same reordering of another value."""
    if node.get_type_name() == "Transpose":
        return opset.transpose(value, node.input_value(1))
    return opset.reshape(value, node.input_value(1), special_zero=bool(node.get_attributes()["special_zero"]))
