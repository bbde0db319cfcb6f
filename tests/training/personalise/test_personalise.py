"""Personalisation on the project's own sample clip, with the shipped model."""

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from adasr.cli import main
from adasr.sample import sample_clip_path
from adasr_core.adapter import MAX_ADAPTER_BYTES, Adapter, base_sha256_of, open_adapter
from adasr_core.bitstream import FrameToCode, MotionCodec, decode_picture, encode_picture
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters
from adasr_core.networks import PRESETS, FaceCodecNetworks
from adasr_core.picture_quality import psnr_db
from tests.cli.clip_builders import numbered_pictures, write_clip
from training.personalise.adapt import AdaptConfig, adapt, patch_loss
from training.personalise.adapted import Adapted, adaptable_weights, fitting_rank, open_networks
from training.personalise.footage import Footage, read_footage
from training.personalise.measure import measure_rebuild
from training.personalise.rebuild import rebuild_frames
from training.personalise.run import PersonaliseConfig
from training.personalise.samples import MOTION_QUALITY, SampleMaker

SMALL = AdaptConfig(minutes=10, steps=40, batch=2, patch_px=128, check_s=1000, learning_rate=1e-4, average=0.8)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return open_bundle("edge")


@pytest.fixture(scope="module")
def model(bundle: ModelBundle) -> FaceModel:
    return FaceModel.load(bundle, threads=1)


@pytest.fixture(scope="module")
def footage(model: FaceModel) -> Footage:
    return read_footage(sample_clip_path(), model, most_frames=50)


@pytest.fixture(scope="module")
def maker(footage: Footage, bundle: ModelBundle) -> SampleMaker:
    return SampleMaker(footage, MotionCodec(bundle.tables(), bundle.manifest.keypoints), key_frames=3)


@pytest.fixture(scope="module")
def networks(bundle: ModelBundle) -> FaceCodecNetworks:
    return open_networks(bundle)


def losses(adapted: Adapted, maker: SampleMaker) -> list[float]:
    """Loss of the same four samples."""
    rng = np.random.default_rng(9)
    with torch.no_grad():
        return [patch_loss(adapted, maker, rng, SMALL).item() for _ in range(4)]


def test_the_clip_is_split_along_time(footage: Footage) -> None:
    assert len(footage.numbers) == len(footage.parameters) == len(footage.frames) == 50
    assert list(footage.numbers) == sorted(set(footage.numbers))
    assert [*footage.fit, *footage.choose, *footage.held_out] == list(range(50))
    assert (len(footage.fit), len(footage.choose), len(footage.held_out)) == (36, 4, 10)


def test_samples_are_what_the_wire_brings(footage: Footage, maker: SampleMaker, bundle: ModelBundle) -> None:
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    key = maker.keys[1]
    sample = maker.sample(key, [4, 7], 30)
    picture = decode_picture(encode_picture(footage.frames[key], 30), 512)
    np.testing.assert_allclose(sample.picture[0].permute(1, 2, 0).numpy() * 255, picture, atol=0.01)
    np.testing.assert_allclose(sample.truth[1].permute(1, 2, 0).numpy() * 255, footage.frames[7], atol=0.01)
    reference = codec.decode_reference(codec.encode_reference(footage.parameters[key]))
    driving = MotionParameters.create(sample.driving.keypoints[1].numpy(), sample.driving.jacobians[1].numpy())
    _, (sent,) = codec.encode_message(
        [FrameToCode(0, footage.parameters[7])], reference, slot=0, generation=0, sequence=0, quality=MOTION_QUALITY
    )
    step = codec.steps * 2 ** (MOTION_QUALITY / 4)
    apart = codec.transform(driving, reference) - codec.transform(sent.parameters, reference)
    assert (np.abs(apart) < 1.05 * step).all()
    assert not np.array_equal(driving.keypoints, footage.parameters[7].keypoints)
    np.testing.assert_array_equal(sample.reference.jacobians[0].numpy(), reference.jacobians)


def test_samples_never_show_what_is_held_out(footage: Footage, maker: SampleMaker) -> None:
    last = footage.fit.stop - 1
    assert max(maker.keys) <= last
    marked = Footage(np.zeros_like(footage.frames), footage.parameters, footage.numbers, 0)
    marked.frames[footage.fit.stop :] = 255
    drawing = SampleMaker(marked, MotionCodec(open_bundle("edge").tables(), 40), key_frames=3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        sample = drawing.draw(rng, 6)
        assert sample.picture.max() < 0.1
        assert sample.truth.max() == 0


def test_torch_and_the_exported_graphs_rebuild_the_same(
    networks: FaceCodecNetworks, model: FaceModel, maker: SampleMaker, footage: Footage
) -> None:
    key = maker.keys[0]
    frame = rebuild_frames(networks, maker.sample(key, [20], 40))[0].permute(1, 2, 0).numpy()
    made = model.rebuild(model.encode(maker.picture(key, 40)), maker.reference(key), maker.driving(20, key))
    assert psnr_db(np.round(frame * 255).astype(np.uint8), made) > 38


@pytest.mark.parametrize(("rank", "learning_rate", "left"), [(None, 2e-5, 1.0), (2, 3e-5, None)])
def test_a_short_training_lowers_the_loss_and_the_file_holds_what_was_trained(
    rank: int | None,
    learning_rate: float,
    left: float | None,
    networks: FaceCodecNetworks,
    footage: Footage,
    maker: SampleMaker,
    bundle: ModelBundle,
) -> None:
    weights = adaptable_weights(bundle)
    adapted = Adapted.prepare(networks, weights, rank)
    before = losses(adapted, maker)
    looks: list[int] = []
    config = dataclasses.replace(SMALL, learning_rate=learning_rate)
    result = adapt(adapted, footage, maker, config, lambda step, loss, score: looks.append(step))
    after = losses(adapted, maker)
    assert result.steps == SMALL.steps
    assert looks == [0, SMALL.steps]
    if left is not None:
        assert result.best_step == SMALL.steps, "the averaged weights must do better than none on the choosing frames"
        assert sum(after) < left * sum(before)
    adapter = Adapter(
        model="edge", codec_id=bundle.codec_id, base_sha256=base_sha256_of(bundle), differences=adapted.differences()
    )
    size = len(adapter.to_bytes())
    assert size < (MAX_ADAPTER_BYTES if rank is None else 120_000)
    for part in ("encoder", "motion", "generator"):
        names = {n.removeprefix("encoder."): n for n in weights if n.startswith(part)}
        merged = adapter.merge(part, {i: weights[n] for i, n in names.items()})
        assert set(merged) == set(names)
        for initializer, value in merged.items():
            owner, _, leaf = names[initializer].rpartition(".")
            trained = getattr(adapted.networks.get_submodule(owner), leaf).detach().numpy()
            np.testing.assert_allclose(value, trained, atol=2e-4, err_msg=initializer)
    detector = adapted.networks.detector.state_dict()
    assert all(torch.equal(value, detector[key]) for key, value in networks.detector.state_dict().items())


def test_the_start_is_the_model_itself(networks: FaceCodecNetworks, maker: SampleMaker, bundle: ModelBundle) -> None:
    weights = adaptable_weights(bundle)
    assert len(weights) > 60
    plain = losses(Adapted(networks, {}, None), maker)
    assert losses(Adapted.prepare(networks, weights, 4), maker) == pytest.approx(plain, rel=1e-3)


def test_every_preset_has_differences_that_fit() -> None:
    ranks = {}
    for name, config in PRESETS.items():
        with torch.device("meta"):
            parameters = FaceCodecNetworks(config).named_parameters()
        ranks[name] = fitting_rank({n: tuple(p.shape) for n, p in parameters if not n.startswith("detector")})
    assert ranks["edge"] is None
    assert ranks["base"] is not None
    assert ranks["base"] >= 2


def test_measuring_an_unchanged_model_gives_the_same_twice(
    model: FaceModel, footage: Footage, maker: SampleMaker
) -> None:
    first = measure_rebuild(model, footage, maker, 2)
    assert first == measure_rebuild(model, footage, maker, 2)
    assert first.face_psnr_db > 20


def test_clips_that_cannot_serve_are_named(tmp_path: Path, model: FaceModel) -> None:
    wide, faceless, text = tmp_path / "wide.mp4", tmp_path / "faceless.mp4", tmp_path / "text.mp4"
    write_clip(wide, numbered_pictures(3, width_px=128))
    write_clip(faceless, numbered_pictures(6, 128, 128), rate=Fraction(10))
    text.write_text("no video")
    with pytest.raises(ValueError, match=r"128x64 pixels, expected a square.*adasr train prepare"):
        read_footage(wide, model)
    with pytest.raises(ValueError, match=r"got \d frames with a face \(\d without\), expected at least 40"):
        read_footage(faceless, model)
    with pytest.raises(ValueError, match="not a video that can be read"):
        read_footage(text, model)
    with pytest.raises(FileNotFoundError):
        read_footage(tmp_path / "none.mp4", model)


def test_settings_out_of_range_are_named() -> None:
    clip, out = Path("a.mp4"), Path("out")
    for settings, message in (
        ({"name": "../a"}, "name: got"),
        ({"minutes": 0.0}, "minutes: got 0"),
        ({"rank": 0}, "rank: got 0"),
        ({"person": "x" * 65}, "person: got 65"),
    ):
        with pytest.raises(ValueError, match=message):
            PersonaliseConfig(clip=clip, out=out, **({"name": "a"} | settings))
    with pytest.raises(ValueError, match="patch_px: got 100"):
        AdaptConfig(patch_px=100)


def test_a_model_without_its_training_weights_is_named(bundle: ModelBundle, tmp_path: Path) -> None:
    for file in bundle.folder.iterdir():
        if file.name != "weights.safetensors":
            (tmp_path / file.name).symlink_to(file.resolve())
    with pytest.raises(ValueError, match=r"weights.safetensors: not there; .*--model models/edge"):
        open_networks(open_bundle(tmp_path))


@pytest.mark.slow
def test_the_command_writes_an_adapter_and_a_report(
    tmp_path: Path, bundle: ModelBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--name", "sample", "--person", "nobody", "--threads", "1"]
    code = main(["train", "personalise", str(sample_clip_path()), *arguments, "--minutes", "20", "--steps", "25"])
    report = json.loads((out / "report.json").read_text())
    assert code == (0 if report["gained"] else 1)
    assert report["steps"] == 25
    assert {held["references"] for held in report["held_out"]} == {1, 4}
    assert set(report["seconds"]) >= {"read_clip", "measure", "training", "choosing"}
    printed = capsys.readouterr().out
    assert report["gained"], printed
    adapter = open_adapter(out / "sample.adapter", bundle)
    assert adapter is not None
    assert (adapter.person, adapter.gain_db) == ("nobody", report["gain_db"])
    assert report["bytes"] == (out / "sample.adapter").stat().st_size <= MAX_ADAPTER_BYTES
    assert "sample.adapter" in printed


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, numbered_pictures(3, width_px=128))
    assert main(["train", "personalise", str(clip), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "expected a square" in error
