"""The base preset before it is trained: within its budget, exported, and the same on every engine."""

from pathlib import Path

import numpy as np
import pytest
import torch

from adasr.preset_cost import BUDGETS
from adasr.preset_folder import open_model
from adasr.sample import sample_clip_path
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import BundleError, open_bundle
from adasr_core.engines import FaceModel
from adasr_core.engines.self_check import check_engine, run_reference
from adasr_core.geometry import SquareCrop, extract_crop
from adasr_core.networks import PRESETS
from adasr_core.networks.cost import model_cost
from export.export_model import WEIGHTS
from export.preset_model import export_preset, random_preset
from export.torch_engine import TorchEngineConfig, TorchModel

EDGE = open_bundle("edge")


def test_base_keeps_its_budget() -> None:
    cost = model_cost(PRESETS["base"])
    assert BUDGETS["base"].frame == 100.0
    assert cost.gmac_per_frame <= BUDGETS["base"].frame
    assert cost.gmac_per_frame > BUDGETS["edge"].frame, "else it would be no larger decoder"


def test_no_layer_is_left_at_zero_and_the_detector_is_the_trained_one() -> None:
    networks, again = random_preset("base", EDGE), random_preset("base", EDGE)
    for name, parameter in networks.named_parameters():
        if parameter.dim() > 1:
            assert parameter.any(), name
    for one, other in zip(networks.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    trained = TorchModel.load(EDGE.folder / WEIGHTS, TorchEngineConfig())
    picture = sample_pictures(1)[0]
    small = extract_crop(picture, SquareCrop.whole(picture), EDGE.manifest.detector_px)
    preset = TorchModel(networks, TorchEngineConfig())
    np.testing.assert_array_equal(preset.detect(small).parameters.keypoints, trained.detect(small).parameters.keypoints)


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of edge, base"):
        random_preset("huge", EDGE)
    with pytest.raises(ValueError, match="expected one of edge, base"):
        open_model("preset:huge", tmp_path)
    with pytest.raises(BundleError, match="no manifest"):
        open_model("no-such-model", tmp_path)


@pytest.mark.slow
def test_base_is_exported_through_the_parity_gate_and_runs_on_every_engine(tmp_path: Path) -> None:
    rows = export_preset("base", EDGE, tmp_path / "base", [sample_clip_path()])
    assert {row.graph for row in rows} == {"detector", "encoder", "motion", "generator"}
    assert all(row.ok for row in rows)
    bundle = open_bundle(tmp_path / "base")
    assert bundle.codec_id == EDGE.codec_id, "a decoder of the same bitstream"
    pictures = sample_pictures(3)
    small = [extract_crop(one, SquareCrop.whole(one), bundle.manifest.detector_px) for one in pictures]
    reference = run_reference(FaceModel.load(bundle, engine="onnxruntime", threads=1), pictures, small)
    engines = {
        "openvino": FaceModel.load(bundle, threads=1),
        "torch": FaceModel(bundle, TorchModel.load(bundle.folder / WEIGHTS, TorchEngineConfig(threads=1))),
    }
    for name, model in engines.items():
        check = check_engine(model, reference, pictures, small)
        assert check.passed, f"{name}: {check.describe()}"
    assert np.abs(reference.frames[0].astype(int) - pictures[0]).mean() > 1, "random weights must show"
