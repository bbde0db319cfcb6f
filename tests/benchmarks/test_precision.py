"""Precision tables: what is compared, how it is scored, and when an int8 model is kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adasr.sample import sample_clip_path
from adasr.sample_pictures import sample_pictures
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines.openvino_runner import has_bfloat16
from adasr_core.landmarks import LANDMARKS
from benchmarks.environment import describe_processor
from benchmarks.percentiles import Percentiles
from benchmarks.precision_quality import ClipScore, QualityRow, QualityRun, measure_rebuilds
from benchmarks.precision_report import KeepRule, PrecisionReport
from benchmarks.precision_speed import SpeedRow, SpeedRun, measure_frames
from benchmarks.precision_variant import Variant, variants
from export.calibration import Calibration, GraphInputs
from tests.int8_models import make_int8, sample_calibration

FRAMES = 200
"""Of the sample clip."""


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return make_int8(tmp_path_factory.mktemp("models") / "edge-int8")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample clip with an ellipse for a face."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    shutil.copyfile(sample_clip_path(), path)
    angles = np.linspace(0, 2 * np.pi, LANDMARKS, endpoint=False)
    points = np.stack((256 + 100 * np.cos(angles), 230 + 130 * np.sin(angles), 0 * angles), axis=1)
    deltas = np.zeros((FRAMES, LANDMARKS, 3), np.int16)
    deltas[0] = np.round(points * 4)
    np.savez(path.with_suffix(".npz"), landmarks_delta_q=deltas)
    return path


def report(
    *, loss_db: float = 0.01, face_loss_db: float = 0.01, int8_ms: float = 9.0, bf16_ms: float = 10.0
) -> PrecisionReport:
    """A report of two engines; bf16 on OpenVINO is what int8 must beat."""

    def quality(engine: str, precision: str, whole: float, face: float) -> QualityRow:
        scores = (ClipScore("a", whole - 1, face + 1, 50.0), ClipScore("b", whole + 1, face - 1, 50.0))
        return QualityRow(engine, precision, scores)

    def speed(engine: str, precision: str, ms: float) -> tuple[SpeedRow, SpeedRow]:
        return tuple(SpeedRow(engine, precision, n, Percentiles(ms, ms, ms), ms / n) for n in (2, 1))  # type: ignore[return-value]

    return PrecisionReport(
        model="edge",
        version="1",
        codec_id="0" * 16,
        speed=(
            *speed("openvino", "f32", 20.0),
            *speed("openvino", "bf16", bf16_ms),
            *speed("openvino", "int8", int8_ms),
            *speed("onnxruntime", "f32", 40.0),
            *speed("onnxruntime", "int8", 50.0),
        ),
        quality=(
            quality("openvino", "f32", 26.0, 27.0),
            quality("openvino", "bf16", 26.0, 27.0),
            quality("openvino", "int8", 26.0 - loss_db, 27.0 - face_loss_db),
            quality("onnxruntime", "f32", 26.0, 27.0),
            quality("onnxruntime", "int8", 26.0, 27.0),
        ),
        bytes={"f32": {"motion": 2, "generator": 2}, "int8": {"motion": 1, "generator": 1}},
        calibration_clips=1,
        calibration_frames=3,
        engine_versions={"openvino": "1", "onnxruntime": "1"},
        processor=describe_processor(),
        load_average=None,
        commit=None,
    )


def test_a_faster_model_as_good_is_kept() -> None:
    assert report().verdict(KeepRule()).keep
    assert json.loads(json.dumps(report().to_json()))["quality"][2]["loss_db"] == pytest.approx(0.01)


def test_every_reason_against_it_is_named() -> None:
    reasons = report(loss_db=0.31, face_loss_db=0.5, int8_ms=12.0).verdict(KeepRule()).reasons
    assert [reason.split(":")[0] for reason in reasons] == [
        "openvino", "openvino", "openvino, threads", "openvino, threads",
    ]  # fmt: skip
    assert "loses 0.31 dB PSNR (whole frame)" in reasons[0]
    assert "loses 0.50 dB PSNR (face)" in reasons[1]
    assert "threads: 2: int8 needs 6.0 ms a frame, bf16 5.0 ms" in reasons[2]


def test_the_limits_themselves_are_not_kept() -> None:
    assert not report(int8_ms=10.0).verdict(KeepRule()).keep
    assert report(loss_db=0.29).verdict(KeepRule()).keep
    assert not report(loss_db=0.29).verdict(KeepRule(max_loss_db=0.25)).keep


def test_each_engine_has_its_own_verdict_on_speed() -> None:
    reasons = report().verdict(KeepRule(engine="onnxruntime")).reasons
    assert len(reasons) == 2
    assert all(reason.startswith("onnxruntime") and "f32" in reason for reason in reasons)


def test_what_was_not_measured_is_not_judged() -> None:
    whole = report()
    no_int8 = tuple(row for row in whole.speed if row.precision != "int8")
    with pytest.raises(ValueError, match="int8 and another precision on openvino"):
        dataclasses.replace(whole, speed=no_int8).verdict(KeepRule())
    with pytest.raises(ValueError, match="f32 on openvino was not measured"):
        dataclasses.replace(whole, quality=whole.quality[2:]).verdict(KeepRule())
    with pytest.raises(ValueError, match="int8 on openvino was not measured"):
        dataclasses.replace(whole, quality=whole.quality[:2]).verdict(KeepRule())


def test_what_a_manifest_says_of_int8() -> None:
    said = report(loss_db=0.02, face_loss_db=0.04).to_manifest()
    assert said["openvino"] == {"psnr_db": 25.98, "face_psnr_db": 26.96, "loss_db": 0.02, "face_loss_db": 0.04}
    assert set(said) == {"openvino", "onnxruntime"}


def test_the_worst_clip_is_named_apart() -> None:
    base = QualityRow("openvino", "f32", (ClipScore("a", 30.0, 31.0, 99.0), ClipScore("b", 20.0, 21.0, 99.0)))
    row = QualityRow("openvino", "int8", (ClipScore("a", 29.0, 31.5, 40.0), ClipScore("b", 20.5, 20.0, 60.0)))
    assert row.loss_db(base) == (0.25, 0.25)
    assert row.worst_loss_db(base) == (1.0, 1.0)
    assert row.same_db == 50.0


def test_every_precision_that_an_engine_has(int8: ModelBundle) -> None:
    edge = open_bundle("edge")
    found = variants(edge, int8, ("openvino", "onnxruntime"), ("f32", "bf16", "int8"))
    expected = [("openvino", "f32"), ("openvino", "int8"), ("onnxruntime", "f32"), ("onnxruntime", "int8")]
    if has_bfloat16("CPU"):
        expected.insert(1, ("openvino", "bf16"))
    assert [(v.engine, v.precision) for v in found] == expected
    plain = variants(edge, int8, ("openvino",), ("f32", "int8"))
    assert not any(v.bfloat16 for v in plain)
    assert plain[1].load(1).describe().precision == "int8"


def test_a_folder_of_another_precision_is_refused(int8: ModelBundle) -> None:
    edge = open_bundle("edge")
    for precision, bundle in (("int8", edge), ("f32", int8)):
        with pytest.raises(ValueError, match=f"precision: got {precision} for a model folder"):
            Variant(engine="openvino", precision=precision, bfloat16=False, bundle=bundle)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got bf16 on onnxruntime"):
        Variant(engine="onnxruntime", precision="bf16", bfloat16=True, bundle=edge)


def test_speed_of_all_in_one_run(int8: ModelBundle) -> None:
    compared = variants(open_bundle("edge"), int8, ("openvino", "onnxruntime"), ("f32", "int8"))
    rows = measure_frames(compared, sample_pictures(3), SpeedRun(threads=(1,), rounds=2, runs=2, warm_up=1))
    assert [(r.engine, r.precision, r.threads) for r in rows] == [(v.engine, v.precision, 1) for v in compared]
    assert all(0.0 < row.quiet_ms <= row.frame_ms.p95 for row in rows)
    assert all(row.frame_ms.p50 <= row.frame_ms.p95 for row in rows)


def test_quality_of_all_on_one_clip(int8: ModelBundle, clip: Path) -> None:
    compared = variants(open_bundle("edge"), int8, ("openvino", "onnxruntime"), ("f32", "int8"))
    told: list[int] = []
    rows = measure_rebuilds(compared, [clip], QualityRun(frames=6, key_every=3), threads=1, progress=told.append)
    assert told == [1]
    by = {(row.engine, row.precision): row for row in rows}
    base = by["openvino", "f32"]
    assert base.same_db == 99.0
    # The two engines compute the same float32; int8 is near and not the same.
    assert by["onnxruntime", "f32"].same_db > 70.0
    assert 36.0 < by["openvino", "int8"].same_db < 70.0
    assert 20.0 < base.psnr_db < 45.0
    assert all(abs(loss) < 0.3 for loss in by["openvino", "int8"].loss_db(base))


def test_a_bad_calibration_shows(tmp_path: Path, clip: Path) -> None:
    """Ranges of inputs a fiftieth as large clip what a real face needs; the score must see it."""

    def small(recorded: list[GraphInputs]) -> list[GraphInputs]:
        return [{name: value * np.float32(0.02) for name, value in given.items()} for given in recorded]

    good = sample_calibration(2)
    bad = Calibration(small(good.motion), small(good.generator), 1)
    compared = variants(open_bundle("edge"), make_int8(tmp_path / "bad", bad), ("openvino",), ("f32", "int8"))
    whole, int8 = measure_rebuilds(compared, [clip], QualityRun(frames=4, key_every=2), threads=1)
    assert int8.same_db < 36.0
    assert max(int8.loss_db(whole)) > 0.3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpeedRun(threads=()), "threads: got"),
        (lambda: SpeedRun(threads=(0,)), "threads: got"),
        (lambda: SpeedRun(rounds=0), "rounds, runs, warm_up"),
        (lambda: QualityRun(frames=1), "frames: got 1"),
        (lambda: QualityRun(key_every=1), "key_every: got 1"),
        (lambda: KeepRule(max_loss_db=0.0), "max_loss_db: got 0"),
        (lambda: measure_frames([], [], SpeedRun()), "variants, pictures: got 0 and 0"),
        (lambda: measure_rebuilds([], [], QualityRun(), threads=1), "variants, clips: got 0 and 0"),
    ],
)
def test_mistakes_in_the_configuration(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_landmarks_of_another_clip(int8: ModelBundle, clip: Path, tmp_path: Path) -> None:
    shutil.copyfile(clip, tmp_path / "short.mp4")
    with np.load(clip.with_suffix(".npz")) as file:
        np.savez(tmp_path / "short.npz", landmarks_delta_q=file["landmarks_delta_q"][:-4])
    one = variants(open_bundle("edge"), int8, ("openvino",), ("f32",))
    with pytest.raises(ValueError, match=f"got {FRAMES} frames, expected {FRAMES - 4}"):
        measure_rebuilds(one, [tmp_path / "short.mp4"], QualityRun(), threads=1)
