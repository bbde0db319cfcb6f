import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from adasr_core.bundle import open_bundle
from adasr_core.graph_weights import GraphFormatError, read_weights, replace_weights

BUNDLE = open_bundle("edge")


def small_model() -> onnx.ModelProto:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    numbers = numpy_helper.from_array(np.array([2, 3], np.int64), "shape")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numbers, numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array(7, np.float32), "scalar")],
    )
    return helper.make_model(graph)


@pytest.mark.parametrize("part", ["encoder", "motion", "generator"])
def test_every_float_weight_is_read_as_onnx_reads_it(part: str) -> None:
    path = BUNDLE.folder / f"{part}.onnx"
    expected = {
        i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer if i.data_type == TensorProto.FLOAT
    }
    found = read_weights(path.read_bytes())
    assert set(found) == set(expected)
    assert len(found) > 20
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_only_the_named_weight_changes() -> None:
    model = small_model()
    data = model.SerializeToString()
    new = np.full((2, 3), 0.5, np.float32)
    changed = onnx.load_from_string(replace_weights(data, {"w": new}))
    np.testing.assert_array_equal(numpy_helper.to_array(changed.graph.initializer[1]), new)
    changed.graph.initializer[1].CopyFrom(model.graph.initializer[1])
    assert changed == model
    assert replace_weights(data, {}) == data
    assert read_weights(data)["scalar"].shape == ()


def test_what_does_not_fit_is_named() -> None:
    data = small_model().SerializeToString()
    with pytest.raises(ValueError, match="weight 'v': not in the graph"):
        replace_weights(data, {"v": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"weight 'shape': not in the graph"):
        replace_weights(data, {"shape": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match=r"got float32 \(3, 2\), expected float32 \(2, 3\)"):
        replace_weights(data, {"w": np.zeros((3, 2), np.float32)})


def test_every_truncation_reads_or_says_so() -> None:
    data = small_model().SerializeToString()
    whole = read_weights(data)
    refused = 0
    for end in range(len(data)):
        try:
            found = read_weights(data[:end])
        except GraphFormatError:
            refused += 1
        else:
            assert set(found) <= set(whole)
    assert refused > len(data) / 2


def test_bytes_that_are_no_model() -> None:
    for data in (b"", b"not a model at all, nothing of it", bytes(100), b"\xff" * 40):
        with pytest.raises(GraphFormatError):
            read_weights(data)
