"""Tables trained on motion code that motion well."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from adasr_core.bitstream import CodedFrame, FrameToCode, MotionCodec, MotionTables
from adasr_core.bitstream.entropy import TOTAL
from adasr_core.geometry import MotionParameters
from training.motion_sequences import MotionSequence
from training.tables import TablesConfig, differences, frequencies_of, picture_transform, train_tables

K = 8
CONFIG = TablesConfig(components=16, step=0.002, references_per_clip=1)


def made_sequence(seed: int, frames: int = 100) -> MotionSequence:
    """A face whose 8 keypoints move with four hidden numbers, which wander: shift x, shift y, size, turn."""
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (K, 2))
    rng = np.random.default_rng(1 + seed)
    hidden = np.zeros(4)
    keypoints, jacobians = [], []
    for _ in range(frames):
        hidden = 0.97 * hidden + rng.normal(0, (0.02, 0.01, 0.01, 0.02))
        dx, dy, grow, turn = hidden
        linear = np.exp(grow) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        keypoints.append(points @ linear.T + (dx, dy) + rng.normal(0, 0.0003, points.shape))
        jacobians.append(np.broadcast_to(linear, (K, 2, 2)) + rng.normal(0, 0.002, (K, 2, 2)))
    return MotionSequence(f"clip{seed}", np.array(keypoints), np.array(jacobians))


@pytest.fixture(scope="module")
def sequences() -> list[MotionSequence]:
    return [made_sequence(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def metric() -> npt.NDArray[np.float64]:
    """Keypoints matter five times as much as Jacobian entries."""
    return np.diag(np.concatenate((np.ones(2 * K), np.full(4 * K, 0.04))))


@pytest.fixture(scope="module")
def tables(sequences: list[MotionSequence], metric: npt.NDArray[np.float64]) -> MotionTables:
    return train_tables(sequences, metric, CONFIG)


def _frames(sequence: MotionSequence) -> list[MotionParameters]:
    return [MotionParameters.create(k, j) for k, j in zip(sequence.keypoints, sequence.jacobians, strict=True)]


def test_hidden_numbers_cost_a_few_bytes(tables: MotionTables) -> None:
    """On motion that the training has not seen, in messages of four frames, each coded against the one before."""
    codec = MotionCodec(tables, K)
    frames = _frames(made_sequence(99))
    reference = codec.decode_reference(codec.encode_reference(frames[0]))
    base: CodedFrame | None = None
    lengths, errors = [], []
    for start in range(0, len(frames), 4):
        group = [FrameToCode(40 * (start + n), frame) for n, frame in enumerate(frames[start : start + 4])]
        message, coded = codec.encode_message(
            group, reference, slot=0, generation=0, sequence=(start + 3) % 256, quality=4, base=base
        )
        received = codec.decode_message(message, reference, lambda _, known=base: known)  # type: ignore[misc]
        lengths.append(len(message.body))
        errors += [old.parameters.distance(new.parameters) for old, new in zip(group, received, strict=True)]
        base = coded[-1]
    assert np.mean(lengths) / 4 < 6
    assert max(errors) < 0.004


def test_nothing_moved_costs_next_to_nothing(tables: MotionTables) -> None:
    """Four unchanged frames, with the message's own head. The clips are never that still, so the tables expect more."""
    codec = MotionCodec(tables, K)
    still = MotionParameters.create(made_sequence(0).keypoints[0], made_sequence(0).jacobians[0])

    def encode(start: int, base: CodedFrame | None) -> tuple[int, CodedFrame]:
        frames = [FrameToCode(40 * (start + n), still) for n in range(4)]
        message, coded = codec.encode_message(
            frames, still, slot=0, generation=0, sequence=start + 3, quality=4, base=base
        )
        return len(message.pack()), coded[-1]

    first, base = encode(0, None)
    assert first <= 16
    assert encode(4, base)[0] <= 14


def test_tables_follow_the_motion(tables: MotionTables) -> None:
    """Near frames are expected to leave less than far ones, and first coefficients more than last ones."""
    scales = tables.scales.astype(int)
    assert scales[1].mean() < scales[4].mean() < scales[8].mean() <= scales[0].mean() + 2
    assert scales[9].mean() < scales[1].mean() + 1
    assert (scales[0, :4] > scales[0, 4:].max()).all()
    # Large levels where large ones are expected.
    middle = tables.frequencies[:, tables.radius].astype(int)
    assert middle[0] > middle[24] > middle[50]
    # Nothing is said twice: analysis undoes synthesis.
    product = tables.basis.astype(np.float64) @ tables.synthesis
    np.testing.assert_allclose(product, np.eye(tables.components), atol=1e-4)


def test_the_same_clips_give_the_same_tables(
    tables: MotionTables, sequences: list[MotionSequence], metric: npt.NDArray[np.float64]
) -> None:
    again = train_tables(sequences, metric, CONFIG)
    np.testing.assert_array_equal(again.frequencies, tables.frequencies)
    np.testing.assert_array_equal(again.basis, tables.basis)


def test_differences_are_the_bitstream_s(tables: MotionTables) -> None:
    sequence = made_sequence(3)
    frames = _frames(sequence)
    codec = MotionCodec(tables, K)
    vectors = differences(sequence, 7)
    for number in (0, 7, 50):
        np.testing.assert_allclose(codec.transform(frames[number], frames[7]), codec.basis @ vectors[number], atol=1e-4)
    assert np.abs(vectors[7]).max() < 1e-12


def test_the_transform_packs_best_in_its_metric() -> None:
    """One unit of any coefficient costs one in the metric, and the coefficients do not go together."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12))
    metric = mix @ mix.T + 0.1 * np.eye(12)
    rows = rng.normal(size=(4000, 12)) @ rng.normal(size=(12, 12))
    basis, synthesis = picture_transform(rows, metric, 12)
    np.testing.assert_allclose(synthesis.T @ metric @ synthesis, np.eye(12), atol=1e-8)
    np.testing.assert_allclose(basis @ synthesis, np.eye(12), atol=1e-8)
    coefficients = rows @ basis.T
    moments = coefficients.T @ coefficients / len(rows)
    np.testing.assert_allclose(moments, np.diag(np.diag(moments)), atol=1e-8 * moments.max())
    assert (np.diff(np.diag(moments)) <= 0).all()
    # Nothing that keeps three numbers leaves less than its first three.
    kept, back = picture_transform(rows, metric, 3)
    rest = rows - rows @ kept.T @ back.T
    best = np.einsum("ni,ij,nj->", rest, metric, rest)
    assert best == pytest.approx(np.diag(moments)[3:].sum() * len(rows))
    plain = np.linalg.svd(rows, full_matrices=False)[2][:3]
    other = rows - rows @ plain.T @ plain
    assert best < np.einsum("ni,ij,nj->", other, metric, other)


def test_frequencies_are_sound() -> None:
    rng = np.random.default_rng(0)
    for share in (np.ones(64), rng.exponential(size=512), np.eye(128)[3], np.append(np.zeros(63), 1e-9)):
        row = frequencies_of(share)
        assert row.dtype == np.uint16
        assert row.sum() == TOTAL
        assert row.min() >= 1
        assert row.argmax() == share.argmax()


def test_refusals(sequences: list[MotionSequence], metric: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="sequences: got none"):
        train_tables([], metric, CONFIG)
    with pytest.raises(ValueError, match=r"metric: got shape \(6, 6\), expected \(48, 48\)"):
        train_tables(sequences, np.eye(6), CONFIG)
    with pytest.raises(ValueError, match="components: got 49, expected at most 48"):
        train_tables(sequences, metric, TablesConfig(components=49))
    with pytest.raises(ValueError, match="the longest has 20 frames, expected 21"):
        train_tables([made_sequence(0, 20)], metric, CONFIG)
    wild = MotionSequence(
        "wild", sequences[0].keypoints * np.linspace(-9, 9, 100)[:, None, None], sequences[0].jacobians
    )
    with pytest.raises(ValueError, match="sequences: in all, motion goes beyond"):
        train_tables([wild], metric, CONFIG)


@pytest.mark.parametrize(
    ("field", "value"),
    [("components", 65), ("step", 0.0), ("radius", 512), ("rows", 129), ("reference_radius", 0)],
)
def test_options_out_of_range(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field}: got {value}"):
        TablesConfig(**{field: value})  # type: ignore[arg-type]
