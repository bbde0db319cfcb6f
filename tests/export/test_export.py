"""Export: operators, parity, and a whole model folder made from fresh weights."""

import copy
import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from skimage import data

from adasr.sample import sample_clip_path
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import FaceModel
from adasr_core.networks import PRESETS, FaceCodecNetworks, Refiner
from export.clip_frames import frame_pairs
from export.export_model import WEIGHTS, export_model
from export.half_checkpoint import rounded_to_half
from export.onnx_graphs import OPSET, check_operators, export_graphs
from export.parity import Image, ParityError, check_parity, check_refiner
from export.refiner_part import REFINER_WEIGHTS
from training.widen import widen

GRAPHS = ("detector", "encoder", "motion", "generator")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[FaceCodecNetworks, Path]:
    torch.manual_seed(3)
    networks = FaceCodecNetworks(PRESETS["edge"]).eval()
    folder = tmp_path_factory.mktemp("graphs")
    export_graphs(networks, folder)
    return networks, folder


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Image, Image]]:
    portrait = np.ascontiguousarray(data.astronaut())
    return [(portrait, np.ascontiguousarray(np.roll(portrait, (6, -9), (0, 1))))]


def test_graphs_hold_only_what_tensorrt_runs(fresh: tuple[FaceCodecNetworks, Path]) -> None:
    for name in GRAPHS:
        model = onnx.load(fresh[1] / f"{name}.onnx")
        assert [(i.domain, i.version) for i in model.opset_import if i.domain == ""] == [("", OPSET)]
        check_operators(model, name)
        assert "BatchNormalization" not in {n.op_type for n in model.graph.node}


def test_graphs_hold_no_paths_of_the_machine(fresh: tuple[FaceCodecNetworks, Path]) -> None:
    for name in GRAPHS:
        raw = (fresh[1] / f"{name}.onnx").read_bytes()
        assert b".py" not in raw
        assert str(Path.cwd()).encode() not in raw


def test_exported_graphs_equal_torch(fresh: tuple[FaceCodecNetworks, Path], pairs: list[tuple[Image, Image]]) -> None:
    rows = check_parity(*fresh, pairs)
    assert {r.engine for r in rows} >= {"openvino", "onnxruntime"}
    assert {r.output for r in rows} == {
        "keypoints", "jacobians", "confidence", "features", "detail", "context", "flow", "occlusion", "frame",
    }  # fmt: skip


def test_parity_gate_sees_other_weights(
    fresh: tuple[FaceCodecNetworks, Path], pairs: list[tuple[Image, Image]]
) -> None:
    torch.manual_seed(4)
    other = FaceCodecNetworks(PRESETS["edge"]).eval()
    with pytest.raises(ParityError, match=r"detector.keypoints|encoder.features"):
        check_parity(other, fresh[1], pairs)


def test_five_dimensional_grid_sample_is_refused() -> None:
    node = helper.make_node("GridSample", ["x", "g"], ["y"])
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4, 4]),
        helper.make_tensor_value_info("g", TensorProto.FLOAT, [1, 4, 4, 4, 3]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, [output]), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    with pytest.raises(ValueError, match="GridSample on 5 dimensions"):
        check_operators(model, "motion")


@pytest.mark.parametrize(("name", "most_bytes"), [("edge", 20_000_000), ("base", 40_000_000)])
def test_shipped_models_are_what_their_weights_say(name: str, most_bytes: int) -> None:
    """Torch == ONNX Runtime == OpenVINO on the sample clip, from the weights beside the graphs."""
    bundle = open_bundle(name)
    networks, _ = FaceCodecNetworks.load(bundle.folder / WEIGHTS)
    pairs = frame_pairs([sample_clip_path()], 512)
    rows = check_parity(networks, bundle.folder, pairs)
    if bundle.has("refiner"):
        rows += check_refiner(Refiner.load(bundle.folder / REFINER_WEIGHTS)[0], bundle.folder, pairs)
    assert all(r.ok for r in rows)
    assert sum(f.stat().st_size for f in bundle.folder.iterdir()) <= most_bytes


def test_shipped_models_share_one_bitstream() -> None:
    edge, base = open_bundle("edge"), open_bundle("base")
    assert base.codec_id == edge.codec_id
    assert base.path("detector").read_bytes() == edge.path("detector").read_bytes()


@pytest.mark.realdata
def test_shipped_model_on_recorded_clips(recorded_clips: list[Path]) -> None:
    bundle = open_bundle("edge")
    networks, _ = FaceCodecNetworks.load(bundle.folder / WEIGHTS)
    check_parity(networks, bundle.folder, frame_pairs(recorded_clips[:2], 512, per_clip=1))


def test_model_folder_from_a_checkpoint(fresh: tuple[FaceCodecNetworks, Path], tmp_path: Path) -> None:
    fresh[0].save(tmp_path / "c.safetensors")
    tables = open_bundle("edge").path("tables")
    export_model(
        tmp_path / "c.safetensors", tables, tmp_path / "out" / "mine", [sample_clip_path()],
        name="mine", version="0.0.1", training={"steps": 0}, quality={},
    )  # fmt: skip
    bundle: ModelBundle = open_bundle(tmp_path / "out" / "mine")
    assert bundle.manifest.keypoints == 40
    assert bundle.manifest.outputs["generator"] == {"frame": (1, 3, 512, 512)}
    assert bundle.codec_id != open_bundle("edge").codec_id
    assert not [f for f in (tmp_path / "out").iterdir() if f.name != "mine"], "temporary folders must be gone"


def test_failed_export_leaves_nothing(fresh: tuple[FaceCodecNetworks, Path], tmp_path: Path) -> None:
    fresh[0].save(tmp_path / "c.safetensors")
    shutil.copyfile(tmp_path / "c.safetensors", tmp_path / "not-tables.safetensors")
    with pytest.raises(ValueError, match="tables"):
        export_model(
            tmp_path / "c.safetensors", tmp_path / "not-tables.safetensors", tmp_path / "out", [sample_clip_path()],
            name="mine", version="0.0.1", training={}, quality={},
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_larger_decoder_keeps_the_bitstream(tmp_path: Path) -> None:
    edge = open_bundle("edge")
    small = FaceCodecNetworks.load(edge.folder / WEIGHTS)[0]
    config = dataclasses.replace(PRESETS["edge"], name="wider", feature_channels=56)
    checkpoint, out = tmp_path / "wider.safetensors", tmp_path / "wider"
    wider = widen(small, config)
    wider.save(checkpoint)
    export_model(
        checkpoint,
        None,
        out,
        [sample_clip_path()],
        name="wider",
        version="0.0.1",
        training={},
        quality={},
        bitstream_of=edge.folder,
        half=True,
    )
    made = open_bundle(out)
    shipped, rounded = FaceCodecNetworks.load(out / WEIGHTS)[0].state_dict(), rounded_to_half(wider).state_dict()
    assert all(torch.equal(value, shipped[name]) for name, value in rounded.items())
    assert (out / WEIGHTS).stat().st_size < 0.8 * checkpoint.stat().st_size
    assert made.codec_id == edge.codec_id
    assert made.manifest.name == "wider"
    # Both rebuild the same packets, and these two alike: the larger one has learnt nothing yet.
    frames = frame_pairs([sample_clip_path()], 512, per_clip=1)[0]
    rebuilt = []
    for bundle in (edge, made):
        model = FaceModel.load(bundle, engine="onnxruntime")
        first, second = (
            model.detect(np.asarray(cv2.resize(f, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)) for f in frames
        )
        rebuilt.append(model.rebuild(model.encode(frames[0]), first.parameters, second.parameters).astype(int))
    assert np.abs(rebuilt[0] - rebuilt[1]).max() <= 2


def test_rounding_to_half_spares_the_detector_and_refuses_what_does_not_fit(
    fresh: tuple[FaceCodecNetworks, Path],
) -> None:
    before, after = fresh[0].state_dict(), rounded_to_half(fresh[0]).state_dict()
    for name, value in before.items():
        kept = name.startswith("detector.")
        assert torch.equal(after[name], value if kept or not value.is_floating_point() else value.half().float())
    large = copy.deepcopy(fresh[0])
    with torch.no_grad():
        assert large.generator.enter.bias is not None
        large.generator.enter.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"generator\.enter\.bias: got a weight of 1e\+06"):
        rounded_to_half(large)


def test_another_detector_is_not_the_same_bitstream(tmp_path: Path) -> None:
    checkpoint = tmp_path / "other.safetensors"
    torch.manual_seed(5)
    FaceCodecNetworks(PRESETS["edge"]).save(checkpoint)
    with pytest.raises(ValueError, match="detector: got other weights"):
        export_model(
            checkpoint,
            None,
            tmp_path / "out",
            [sample_clip_path()],
            name="other",
            version="0.0.1",
            training={},
            quality={},
            bitstream_of=open_bundle("edge").folder,
        )
    assert not (tmp_path / "out").exists()
