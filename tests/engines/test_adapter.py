"""An adapted decoder computes on every engine what torch computes with the merged weights."""

import dataclasses

import numpy as np
import pytest
import torch

from adasr_core.adapter import AdapterError
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.engines.adapted_graph import adapted_graph
from adasr_core.engines.onnxruntime_runner import OnnxRuntimeRunner
from adasr_core.engines.openvino_runner import OpenVinoRunner
from adasr_core.networks import FaceCodecNetworks
from export.onnx_graphs import graphs
from export.parity import TOLERANCE
from tests.adapters import ADAPTED, random_adapter
from tests.real_model import head_shot

BUNDLE = open_bundle("edge")
ADAPTER = random_adapter(BUNDLE, strength=1.0)


@pytest.fixture(scope="module")
def merged() -> FaceCodecNetworks:
    """The networks with the adapter added in torch."""
    networks, _ = FaceCodecNetworks.load(BUNDLE.folder / "weights.safetensors")
    with torch.no_grad():
        for name in ADAPTED:
            weight = networks.get_parameter(name)
            weight.add_(torch.from_numpy(ADAPTER.differences[name].expand(tuple(weight.shape))))
    return networks.eval()


@torch.no_grad()
@pytest.mark.parametrize("part", ["encoder", "motion", "generator"])
def test_both_engines_run_the_merged_weights(merged: FaceCodecNetworks, part: str) -> None:
    torch.manual_seed(0)
    graph = graphs(merged)[part]
    outputs = graph.module(*graph.inputs.values())
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)
    inputs = {name: value.numpy() for name, value in graph.inputs.items()}
    path = BUNDLE.folder / f"{part}.onnx"
    content = adapted_graph(BUNDLE, part, ADAPTER)  # type: ignore[arg-type]
    assert content is not None
    for runner in (OpenVinoRunner, OnnxRuntimeRunner):
        plain, adapted = runner(path, threads=1).run(inputs), runner(path, threads=1, content=content).run(inputs)
        for name, expected in zip(graph.outputs, outputs, strict=True):
            limit = TOLERANCE[name]
            np.testing.assert_allclose(adapted[name], expected.numpy(), atol=limit, rtol=1e-3, err_msg=name)
        changed = max(float(np.abs(plain[n] - adapted[n]).max() / TOLERANCE[n]) for n in graph.outputs)
        assert changed > 2, "the adapter must show far above the tolerance"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_model_with_an_adapter_detects_the_same_and_shows_another_picture(engine: EngineName) -> None:
    picture = head_shot()
    plain = FaceModel.load(BUNDLE, engine=engine, threads=1)
    adapted = FaceModel.load(BUNDLE, engine=engine, threads=1, adapter=ADAPTER)
    small = picture.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3)).astype(np.uint8)
    own, other = plain.detect(small), adapted.detect(small)
    np.testing.assert_array_equal(own.parameters.vector(), other.parameters.vector())
    moved = type(own.parameters).create(own.parameters.keypoints + 0.03, own.parameters.jacobians)
    frames = [m.rebuild(m.encode(picture), own.parameters, moved).astype(float) for m in (plain, adapted)]
    assert np.abs(frames[0] - frames[1]).mean() > 0.5


def test_an_adapter_of_another_model_is_refused() -> None:
    adapter = dataclasses.replace(ADAPTER, codec_id="0" * 16)
    with pytest.raises(AdapterError, match="codec id 0000"):
        FaceModel.load(BUNDLE, parts=("encoder",), adapter=adapter)
