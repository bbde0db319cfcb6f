"""Int8 model folders: what is quantised, what stays, what loads them, and how near they are to float32."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from adasr.sample_pictures import sample_pictures
from adasr_core.adapter import AdapterError
from adasr_core.bundle import BundleError, ModelBundle, open_bundle
from adasr_core.engines import EngineName, FaceModel
from adasr_core.picture_quality import psnr_db
from export.calibration import Calibration, CalibrationConfig, record_inputs
from export.quantise import QuantiseConfig, int8_name, quantise_graph, quantise_model
from tests.adapters import random_adapter
from tests.cli.clip_builders import write_clip
from tests.int8_models import make_int8, sample_calibration


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return sample_calibration()


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory, calibration: Calibration) -> ModelBundle:
    return make_int8(tmp_path_factory.mktemp("models") / "edge-int8", calibration)


def rebuilt(bundle: ModelBundle, engine: EngineName) -> npt.NDArray[np.uint8]:
    model = FaceModel.load(bundle, engine=engine, threads=1)
    pictures = sample_pictures(8)
    first, last = (
        model.detect(np.asarray(cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)).parameters
        for p in (pictures[0], pictures[-1])
    )
    return model.rebuild(model.encode(pictures[0]), first, last)


def test_the_folder_is_another_decoder_of_the_same_bitstream(int8: ModelBundle) -> None:
    edge = open_bundle("edge")
    assert int8.codec_id == edge.codec_id
    assert int8.manifest.name == "edge-int8"
    assert (int8.manifest.precision("motion"), int8.manifest.precision("generator")) == ("int8", "int8")
    assert (int8.manifest.precision("encoder"), edge.manifest.precision("motion")) == ("f32", "f32")
    for part in ("detector", "encoder", "tables"):
        assert int8.manifest.files[part].sha256 == edge.manifest.files[part].sha256
    for part in ("motion", "generator"):
        assert int8.manifest.files[part].bytes < 0.4 * edge.manifest.files[part].bytes
        assert int8.manifest.training["int8"]["of"][part] == edge.manifest.files[part].sha256
    assert int8.manifest.training["int8"]["calibration"] == {"clips": 1, "frames": 3}
    assert not (int8.folder / "weights.safetensors").exists()


def test_a_refiner_is_carried_over_as_it_is(refined: ModelBundle, calibration: Calibration, tmp_path: Path) -> None:
    made = quantise_model(refined, calibration, tmp_path / "int8", QuantiseConfig(parts=("motion",)))
    assert made.path("refiner").read_bytes() == refined.path("refiner").read_bytes()
    assert made.manifest.precision("refiner") == "f32"
    assert made.manifest.architecture["refiner"] == refined.manifest.architecture["refiner"]
    assert FaceModel.load(made, threads=1).refines


def test_every_convolution_and_nothing_else_is_quantised(int8: ModelBundle) -> None:
    for part in ("motion", "generator"):
        model = onnx.load(int8.path(part))
        onnx.checker.check_model(model, full_check=True)
        assert {entry.domain for entry in model.opset_import} == {""}
        made_by = {output: node for node in model.graph.node for output in node.output}
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        original = onnx.load(open_bundle("edge").path(part))
        assert len(convolutions) == sum(node.op_type == "Conv" for node in original.graph.node)
        for node in convolutions:
            given, weight = made_by[node.input[0]], made_by[node.input[1]]
            assert (given.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
            # Signed activations would be wrong on OpenVINO where the processor has no AMX.
            assert constants[given.input[2]].dtype == np.uint8
            assert constants[weight.input[0]].dtype == np.int8
            assert not constants[weight.input[2]].any()
            assert constants[weight.input[1]].shape == constants[weight.input[0]].shape[:1]
        kinds = [{n.op_type for n in m.graph.node} - {"QuantizeLinear", "DequantizeLinear"} for m in (model, original)]
        assert kinds[0] == kinds[1]


def test_no_path_of_the_machine_is_left_in_it(int8: ModelBundle) -> None:
    for file in int8.folder.iterdir():
        assert str(Path.cwd()).encode() not in file.read_bytes()
        assert b"/tmp" not in file.read_bytes()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_both_engines_rebuild_almost_the_float32_frame(int8: ModelBundle, engine: EngineName) -> None:
    whole = rebuilt(open_bundle("edge"), "onnxruntime")
    found = rebuilt(int8, engine)
    assert 36.0 < psnr_db(whole, found) < 70.0


def test_the_engine_says_that_it_runs_int8(int8: ModelBundle) -> None:
    for engine in ("openvino", "onnxruntime"):
        assert FaceModel.load(int8, engine=engine, threads=1).describe().precision == "int8"


def test_the_same_calibration_gives_the_same_file(int8: ModelBundle, calibration: Calibration) -> None:
    again = quantise_graph(open_bundle("edge").path("motion").read_bytes(), calibration.motion)
    assert hashlib.sha256(again).hexdigest() == int8.manifest.files["motion"].sha256


def test_only_the_parts_that_are_named(tmp_path: Path, calibration: Calibration) -> None:
    edge = open_bundle("edge")
    said = {"int8": {"openvino": {"loss_db": 0.004}}}
    made = quantise_model(edge, calibration, tmp_path / "half", QuantiseConfig(parts=("motion",)), quality=said)
    assert made.manifest.quality == {**edge.manifest.quality, **said}
    assert (made.manifest.precision("motion"), made.manifest.precision("generator")) == ("int8", "f32")
    assert made.manifest.files["generator"].sha256 == edge.manifest.files["generator"].sha256


def test_an_adapter_of_the_float32_model_is_refused(int8: ModelBundle) -> None:
    with pytest.raises(AdapterError, match="give the right one"):
        FaceModel.load(int8, adapter=random_adapter())


def test_calibration_sees_what_a_receiver_sees(calibration: Calibration) -> None:
    manifest = open_bundle("edge").manifest
    assert len(calibration.motion) == len(calibration.generator) == 3
    for part, recorded in (("motion", calibration.motion), ("generator", calibration.generator)):
        for given in recorded:
            assert {name: value.shape for name, value in given.items()} == dict(manifest.inputs[part])
            assert all(value.dtype == np.float32 for value in given.values())
    # The pictures of one clip are one array: a hundred clips must fit into memory.
    assert calibration.generator[0]["picture"] is calibration.generator[2]["picture"]
    assert not np.array_equal(calibration.generator[0]["flow"], calibration.generator[2]["flow"])


def test_clips_are_taken_evenly() -> None:
    clips = [Path(f"{number}.mp4") for number in range(101)]
    assert CalibrationConfig(clips=3).choose(clips) == [clips[0], clips[50], clips[100]]
    assert CalibrationConfig(clips=500).choose(clips) == clips


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CalibrationConfig(clips=0), "clips: got 0"),
        (lambda: CalibrationConfig(frames_per_clip=0), "frames_per_clip: got 0"),
        (lambda: CalibrationConfig(frames_per_clip=9, within_frames=9), "within_frames: got 9"),
        (lambda: CalibrationConfig().choose([]), "clips: got none"),
        (lambda: QuantiseConfig(parts=()), "parts: got"),
        (lambda: QuantiseConfig(parts=("detector",)), "parts: got"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_in_the_configuration(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_what_cannot_be_quantised(tmp_path: Path, int8: ModelBundle, calibration: Calibration) -> None:
    edge = open_bundle("edge")
    with pytest.raises(ValueError, match="recorded: got no inputs"):
        quantise_graph(edge.path("motion").read_bytes(), [])
    with pytest.raises(ValueError, match="is quantised already; give the float32 model"):
        quantise_graph(int8.path("motion").read_bytes(), calibration.motion)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    plain = helper.make_model(helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [value], [result]))
    with pytest.raises(ValueError, match="no convolution"):
        quantise_graph(plain.SerializeToString(), [{"x": np.zeros(1, np.float32)}])
    with pytest.raises(ValueError, match="is the model itself"):
        quantise_model(edge, calibration, edge.folder, QuantiseConfig())
    with pytest.raises(ValueError, match="is quantised already"):
        quantise_model(int8, calibration, tmp_path / "twice", QuantiseConfig())
    assert not list(tmp_path.iterdir())


def test_clips_that_cannot_calibrate(tmp_path: Path) -> None:
    edge, config = open_bundle("edge"), CalibrationConfig()
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"not a video" * 100)
    with pytest.raises(ValueError, match=r"noise\.mp4: no video that can be read"):
        record_inputs(edge, [noise], config, threads=1)
    single = tmp_path / "single.mp4"
    write_clip(single, sample_pictures(1))
    with pytest.raises(ValueError, match=r"single\.mp4: got 1 frames, expected at least 2"):
        record_inputs(edge, [single], config, threads=1)
    with pytest.raises(OSError, match=r"gone\.mp4"):
        record_inputs(edge, [tmp_path / "gone.mp4"], config, threads=1)


@pytest.mark.parametrize("stated", [{"detector": "int8"}, {"motion": "int4"}, "int8"])
def test_a_manifest_cannot_state_another_precision(stated: object) -> None:
    manifest = open_bundle("edge").manifest
    with pytest.raises(BundleError, match=r"architecture\.precision"):
        dataclasses.replace(manifest, architecture={**manifest.architecture, "precision": stated})


def test_names_fit_a_manifest() -> None:
    assert int8_name("edge") == "edge-int8"
    assert len(int8_name("x" * 64)) == 64
    assert int8_name("x" * 64).endswith("-int8")
