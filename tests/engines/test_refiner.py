"""The refiner on every engine: the same picture from the same two, and plain words where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from adasr_core.bundle import BundleError, ModelBundle, open_bundle
from adasr_core.engines import PARTS, EngineError, EngineName, FaceModel
from adasr_core.engines.bound_session import CPU_PROVIDER, BoundDevice
from adasr_core.engines.cuda_device import CudaDevice
from adasr_core.engines.face_model import model_parts
from adasr_core.engines.onnxruntime_cuda import OnnxRuntimeCudaModel
from adasr_core.engines.self_check import check_engine, run_reference
from adasr_core.geometry import SquareCrop, extract_crop
from export.engine_builder import EngineConfig, build_engines
from export.engine_check import check_engines
from export.export_model import WEIGHTS
from export.refiner_part import REFINER_WEIGHTS
from export.torch_engine import TorchEngineConfig, TorchModel
from tests.engines import simulated_gpu
from tests.real_model import talking
from tests.refiners import plain_edge, random_refiner

Image = npt.NDArray[np.uint8]
EARLIER, LATER = talking(0), talking(8)


def expected(earlier: Image, later: Image, weight: float) -> Image:
    """What torch paints."""
    planes = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (earlier, later)]
    with torch.no_grad():
        frame = random_refiner()(*planes, torch.full((1, 1, 1, 1), weight)).clamp(0, 1)
    levels = frame[0].permute(1, 2, 0).numpy() * 255 + 0.5
    return np.asarray(levels, np.uint8)


def openvino(bundle: ModelBundle) -> FaceModel:
    return FaceModel.load(bundle, threads=1, parts=("refiner",))


def onnxruntime(bundle: ModelBundle) -> FaceModel:
    return FaceModel.load(bundle, engine="onnxruntime", threads=1, parts=("refiner",))


def onnxruntime_bound(bundle: ModelBundle) -> FaceModel:
    device = BoundDevice(provider=CPU_PROVIDER, threads=1)
    return FaceModel(bundle, OnnxRuntimeCudaModel(bundle, device, ("refiner",), None))


def torch_model(bundle: ModelBundle) -> FaceModel:
    weights = open_bundle("edge").folder / WEIGHTS
    return FaceModel(bundle, TorchModel.load(weights, TorchEngineConfig(), bundle.folder / REFINER_WEIGHTS))


@pytest.mark.parametrize("load", [openvino, onnxruntime, onnxruntime_bound, torch_model])
def test_every_engine_paints_what_torch_paints(refined: ModelBundle, load: Callable[[ModelBundle], FaceModel]) -> None:
    model = load(refined)
    assert model.refines
    exact = model.describe().precision != "bf16"
    for earlier, later, weight in ((EARLIER, LATER, 0.3), (LATER, EARLIER, 1.0), (EARLIER, EARLIER, 0.0)):
        frame = model.refine(earlier, later, weight)
        assert frame.dtype == np.uint8
        off = np.abs(frame.astype(int) - expected(earlier, later, weight))
        assert off.max() <= (1 if exact else 4)
        assert off.mean() < (0.02 if exact else 0.3)
    assert np.abs(frame.astype(int) - EARLIER).mean() > 0.5, "random weights must show"


def test_a_frame_is_the_callers_own(refined: ModelBundle) -> None:
    for model in (openvino(refined), onnxruntime_bound(refined)):
        first = model.refine(EARLIER, LATER, 0.5)
        kept = first.copy()
        model.refine(LATER, LATER, 0.0)
        np.testing.assert_array_equal(first, kept)


def test_pictures_that_are_not_in_one_piece_are_read_right(refined: ModelBundle) -> None:
    strided = np.ascontiguousarray(LATER[:, ::-1])[:, ::-1]
    for model in (openvino(refined), onnxruntime(refined)):
        np.testing.assert_array_equal(model.refine(EARLIER, strided, 0.5), model.refine(EARLIER, LATER, 0.5))


def test_it_is_loaded_where_the_model_has_one_and_only_when_named(refined: ModelBundle, tmp_path: Path) -> None:
    assert model_parts(refined) == (*PARTS, "refiner")
    assert FaceModel.load(refined, threads=1).refines
    without = FaceModel.load(refined, threads=1, parts=("detector",))
    assert not without.refines
    with pytest.raises(ValueError, match=r"refiner: was not loaded; name it in FaceModel.load\(parts=...\)"):
        without.refine(EARLIER, LATER, 0.5)
    plain = open_bundle(plain_edge(tmp_path / "plain"))
    assert model_parts(plain) == PARTS
    with pytest.raises(ValueError, match=r"got refiner, which the model edge .* does not have; .*add_refiner"):
        FaceModel.load(plain, parts=("refiner",))


def test_wrong_arguments_are_refused(refined: ModelBundle) -> None:
    model = openvino(refined)
    with pytest.raises(ValueError, match="later: got uint8"):
        model.refine(EARLIER, LATER[:256], 0.5)
    with pytest.raises(ValueError, match="earlier: got float32"):
        model.refine(EARLIER.astype(np.float32), LATER, 0.5)
    for weight in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=r"weight: got .*, expected the share of the later picture, 0 to 1"):
            model.refine(EARLIER, LATER, weight)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_refiner_says_what_to_do(refined: ModelBundle, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(refined.folder, tmp_path / "damaged")
    graph = folder / "refiner.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.unlink()
    if damage == "changed":
        graph.write_bytes(content)
    with pytest.raises(BundleError, match=r"refiner.onnx .*install the model again"):
        open_bundle(folder)


def test_a_refiner_that_computes_something_else_fails_the_self_check(refined: ModelBundle, tmp_path: Path) -> None:
    class Darker(FaceModel):
        def refine(self, earlier: Image, later: Image, weight: float) -> Image:
            return super().refine(earlier, later, weight) // 2

    pictures = [EARLIER, LATER]
    small = [extract_crop(one, SquareCrop.whole(one), refined.manifest.detector_px) for one in pictures]
    reference = run_reference(FaceModel.load(refined, engine="onnxruntime", threads=1), pictures, small)
    assert len(reference.refined) == 1
    assert check_engine(FaceModel.load(refined, threads=1), reference, pictures, small).passed
    assert not check_engine(Darker.load(refined, threads=1), reference, pictures, small).passed
    with pytest.raises(EngineError, match="the engine loaded none, the reference a refiner; load the same parts"):
        check_engine(FaceModel.load(refined, threads=1, parts=PARTS), reference, pictures, small)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_runs_an_engine_of_its_own(
    refined: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """On a simulated GPU (`tests.engines.simulated_gpu`): addresses, copies, sizes; the kernels are ONNX Runtime's."""
    gpu = simulated_gpu.install(monkeypatch)
    config = EngineConfig(precision=precision)  # type: ignore[arg-type]
    files = build_engines(refined, tmp_path, config, CudaDevice(), report=lambda _: None)
    assert [file.metadata.part for file in files] == ["detector", "encoder", "refiner", "frame"]
    engine: EngineName = "tensorrt"
    model = FaceModel.load(refined, engine=engine, engine_folder=tmp_path)
    gpu.copies.clear()
    frame = model.refine(EARLIER, LATER, 0.3)
    picture = 512 * 512 * 3
    assert [kind for kind, _ in gpu.copies] == ["up", "down"]
    assert gpu.copies[0][1] >= 2 * picture
    off = np.abs(frame.astype(int) - expected(EARLIER, LATER, 0.3))
    assert off.max() <= (1 if precision == "fp32" else 2)
    rows = check_engines(model, refined, [(EARLIER, LATER)], precision)
    assert all(row.ok for row in rows), [str(row) for row in rows]
    model.close()
    with pytest.raises(ValueError, match="refiner: was not loaded"):
        model.refine(EARLIER, LATER, 0.3)
    assert gpu.used_bytes == 0
    # Engines that were built before the model got its refiner do not do in silence.
    for file in tmp_path.glob("refiner-*"):
        file.unlink()
    with pytest.raises(EngineError, match=r"no refiner for a batch of 1 that runs here; build them: adasr export"):
        FaceModel.load(refined, engine=engine, engine_folder=tmp_path)
    plain = open_bundle(plain_edge(tmp_path / "plain"))
    assert not FaceModel.load(plain, engine=engine, engine_folder=tmp_path).refines
