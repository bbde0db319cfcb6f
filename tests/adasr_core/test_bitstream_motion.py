"""Motion messages through the coder: every layout, agreement of both ends, precision, chains, bases, speed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from adasr_core.bitstream import CodedFrame, FrameToCode, MissingBaseError, MotionCodec, MotionMessage, MotionTables
from adasr_core.bitstream.motion import REPEAT_COARSER, ROUND_UP_FROM, STEPS, UNIT
from adasr_core.bundle import open_bundle
from adasr_core.geometry import MotionParameters
from tests.adasr_core.motion_material import assert_same, assert_same_frames, made_reference, moved, single, walk

Build = Callable[[int], MotionTables]
K = 40
SMALL = 3


@pytest.fixture(scope="module")
def codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(K), K)


@pytest.fixture(scope="module")
def small_codec(synthetic_tables: Build) -> MotionCodec:
    """Three keypoints, and as many coefficients as parameters: nothing is lost but by quantisation."""
    return MotionCodec(synthetic_tables(SMALL), SMALL)


def _exact(codec: MotionCodec, driving: MotionParameters, reference: MotionParameters) -> np.ndarray:
    """A frame's coefficients in the codec's units, before they are quantised."""
    return codec.transform(driving, reference) / codec.steps * UNIT


def _to_code(frames: list[MotionParameters], newest_ms: int, interval_ms: int = 40) -> list[FrameToCode]:
    count = len(frames)
    return [FrameToCode((newest_ms - interval_ms * (count - 1 - n)) % 65_536, frame) for n, frame in enumerate(frames)]


def _sent(
    codec: MotionCodec,
    frames: list[MotionParameters],
    reference: MotionParameters,
    base: CodedFrame | None,
    *,
    sequence: int,
    quality: int = 4,
    repeats: int = 0,
    newest_ms: int = 4000,
) -> tuple[MotionMessage, tuple[CodedFrame, ...]]:
    """Code frames, take the message through its bytes, check that the other end has the same."""
    message, coded = codec.encode_message(
        _to_code(frames, newest_ms),
        reference,
        slot=0,
        generation=0,
        sequence=sequence,
        quality=quality,
        base=base,
        repeats=repeats,
    )
    held = {} if base is None else {base.sequence: base}
    assert_same_frames(codec.decode_message(MotionMessage.unpack(message.pack()), reference, held.get), coded)
    return message, coded


@pytest.mark.parametrize("count", range(1, 9))
def test_every_layout(small_codec: MotionCodec, count: int) -> None:
    """Every base distance, every number of repeats, quality kept and changed, over the wrap of sequence and time."""
    reference = made_reference(SMALL)
    frames = walk(reference, count + 1)
    for distance in (0, *range(count, 64)):
        base = single(small_codec, frames[0], reference, sequence=(30 - distance) % 256, time_ms=0, quality=4)
        for repeats in range(count) if distance % 7 in (0, count % 7) else (0, count - 1):
            quality = (4, 9)[(distance + repeats) % 2]
            _, coded = _sent(
                small_codec,
                frames[1:],
                reference,
                base if distance else None,
                sequence=30,
                quality=quality,
                repeats=repeats,
                newest_ms=70,
            )
            assert [frame.sequence for frame in coded] == list(range(31 - count, 31))
            assert [frame.time_ms for frame in coded] == [(70 - 40 * age) % 65_536 for age in reversed(range(count))]
            assert [frame.repeat for frame in coded] == [True] * repeats + [False] * (count - repeats)
            assert [frame.quality for frame in coded] == [quality + REPEAT_COARSER] * repeats + [quality] * (
                count - repeats
            )


@pytest.mark.parametrize("quality", range(16))
def test_precision_of_every_quality_index(codec: MotionCodec, quality: int) -> None:
    """Nothing is off by more than the deadzone's share of a step, with a base or without one, nor are repeats."""
    reference = codec.decode_reference(codec.encode_reference(made_reference(K)))
    frames = walk(reference, 9)
    _, first = _sent(codec, frames[:4], reference, None, sequence=3, quality=quality)
    _, second = _sent(codec, frames[4:8], reference, first[-1], sequence=7, quality=quality, repeats=2)
    for coded, driving in zip((*first, *second), frames, strict=False):
        error = np.abs(_exact(codec, driving, reference) - coded.coefficients)
        assert error.max() <= ROUND_UP_FROM * STEPS[coded.quality] + 1e-6
        rebuilt = codec.inverse_transform(np.array(coded.coefficients) * codec.steps / UNIT, reference)
        assert_same(rebuilt, coded.parameters)
    assert [frame.quality for frame in second] == [min(quality + REPEAT_COARSER, 15)] * 2 + [quality] * 2


def test_precision_in_parameters(small_codec: MotionCodec) -> None:
    """The transform is orthonormal and whole here: the parameters are as near as the coefficients."""
    reference = made_reference(SMALL)
    driving = moved(reference, 0.1)
    for quality in (0, 4, 8):
        limit = ROUND_UP_FROM * 0.01 * STEPS[quality] / UNIT * np.sqrt(18) + 1e-5
        decoded = single(small_codec, driving, reference, quality=quality).parameters
        assert np.linalg.norm(decoded.keypoints - driving.keypoints) <= limit
        relative = (decoded.jacobians - driving.jacobians) @ np.linalg.inv(reference.jacobians)
        assert np.linalg.norm(relative) <= limit
        assert decoded.distance(driving) > 0


def test_steps_are_a_quarter_of_an_octave_apart() -> None:
    assert list(STEPS) == [round(UNIT * 2 ** (quality / 4)) for quality in range(16)]


@pytest.mark.parametrize("quality", [0, 5, 15])
def test_the_deadzone(small_codec: MotionCodec, quality: int) -> None:
    """A remainder rounds up from two thirds of a step, whatever its sign."""
    reference = made_reference(SMALL)
    still = np.zeros(18)
    for size, level in ((0.0, 0), (0.64, 0), (0.69, 1), (1.64, 1), (1.69, 2), (5.5, 5), (7.7, 8)):
        for sign in (1, -1):
            wanted = still.copy()
            wanted[4] = sign * size * STEPS[quality] / UNIT * small_codec.steps[4]
            driving = small_codec.inverse_transform(wanted, reference)
            coded = single(small_codec, driving, reference, quality=quality)
            assert coded.coefficients[4] == sign * level * STEPS[quality]
            assert sum(map(abs, coded.coefficients)) == level * STEPS[quality]


def test_a_chain_of_a_thousand_messages_does_not_drift(small_codec: MotionCodec) -> None:
    """Each message is coded against the one before; both ends agree, and stay within a step of the truth."""
    reference = made_reference(SMALL)
    counts = [1 + number % 8 for number in range(1000)]
    frames = walk(reference, sum(counts), seed=5)
    base: CodedFrame | None = None
    held: CodedFrame | None = None
    sequence, at, worst = -1, 0, 0.0
    for count in counts:
        sequence += count
        group = frames[at : at + count]
        message, coded = small_codec.encode_message(
            _to_code(group, 40 * sequence),
            reference,
            slot=0,
            generation=0,
            sequence=sequence % 256,
            quality=4,
            base=base,
        )
        known = held
        received = small_codec.decode_message(message, reference, lambda _, known=known: known)  # type: ignore[misc]
        assert_same_frames(received, coded)
        for driving, frame in zip(group, received, strict=True):
            worst = max(worst, float(np.abs(_exact(small_codec, driving, reference) - frame.coefficients).max()))
        base, held, at = coded[-1], received[-1], at + count
    assert worst <= STEPS[4]


def test_a_base_saves_bytes_and_a_near_one_more(codec: MotionCodec) -> None:
    reference = codec.decode_reference(codec.encode_reference(made_reference(K)))
    frames = walk(reference, 40, 0.004)
    driving = frames[-1]
    near = single(codec, frames[-2], reference, sequence=38, time_ms=3960)
    far = single(codec, frames[-20], reference, sequence=20, time_ms=3240)
    lengths = [len(_sent(codec, [driving], reference, base, sequence=39)[0].body) for base in (near, far, None)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2] / 2


def test_four_frames_together_are_smaller_than_four_messages(codec: MotionCodec) -> None:
    reference = codec.decode_reference(codec.encode_reference(made_reference(K)))
    frames = walk(reference, 5, 0.004)
    base = single(codec, frames[0], reference, sequence=0)
    together, _ = _sent(codec, frames[1:], reference, base, sequence=4)
    alone = [_sent(codec, [frame], reference, base, sequence=4)[0] for frame in frames[1:]]
    assert len(together.pack()) < 0.75 * sum(len(message.pack()) for message in alone)


def test_coarser_quality_costs_fewer_bytes(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 4, 0.05)
    lengths = [len(_sent(codec, frames, reference, None, sequence=3, quality=q)[0].body) for q in range(16)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[15] < lengths[0] / 2


def test_repeats_cost_less_than_frames_and_change_none_of_those_without_a_base(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 4, 0.02)
    plain, without = _sent(codec, frames, reference, None, sequence=3)
    repeating, coded = _sent(codec, frames, reference, None, sequence=3, repeats=2)
    assert len(repeating.body) < len(plain.body)
    assert_same_frames(coded[2:], without[2:])


def test_nothing_moved_costs_next_to_nothing(codec: MotionCodec) -> None:
    """With tables that expect much motion, alike in all modes."""
    reference = codec.decode_reference(codec.encode_reference(made_reference(K)))
    _, first = _sent(codec, [reference] * 4, reference, None, sequence=3)
    again, second = _sent(codec, [reference] * 4, reference, first[-1], sequence=7, newest_ms=4160)
    assert len(again.body) <= 10
    assert not any(any(frame.coefficients) for frame in second)


def test_nothing_moved_with_the_shipped_model() -> None:
    """Four unchanged frames: nine bytes at most in all, the message's own head included."""
    tables = open_bundle("edge").tables()
    codec = MotionCodec(tables, tables.keypoints)
    reference = codec.decode_reference(codec.encode_reference(made_reference(tables.keypoints)))
    _, first = _sent(codec, [reference] * 4, reference, None, sequence=3)
    again, _ = _sent(codec, [reference] * 4, reference, first[-1], sequence=7, newest_ms=4160)
    assert len(again.pack()) <= 9


def test_a_base_of_another_reference_is_converted(codec: MotionCodec) -> None:
    raw = made_reference(K)
    old = codec.decode_reference(codec.encode_reference(raw))
    new = codec.decode_reference(codec.encode_reference(moved(raw, 0.01, 9)))
    frames = walk(old, 3, 0.004)
    base = single(codec, frames[0], old, sequence=255, time_ms=65_500, slot=7, generation=2)
    message, coded = _sent(codec, frames[1:], new, base, sequence=1, newest_ms=44)
    intra, _ = _sent(codec, frames[1:], new, None, sequence=1, newest_ms=44)
    assert len(message.body) < len(intra.body)
    assert [frame.slot for frame in coded] == [0, 0]
    for driving, frame in zip(frames[1:], coded, strict=True):
        assert np.abs(_exact(codec, driving, new) - frame.coefficients).max() <= ROUND_UP_FROM * STEPS[4] + 1e-6
    # Another generation of the same slot is another reference as well.
    aged = single(codec, frames[0], old, sequence=255, time_ms=65_500, slot=0, generation=1)
    other, _ = _sent(codec, frames[1:], new, aged, sequence=1, newest_ms=44)
    assert other.body == message.body


def test_a_missing_base_is_told_apart(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 3)
    base = single(codec, frames[0], reference, sequence=250)
    message, _ = _sent(codec, frames[1:], reference, base, sequence=3)
    asked: list[int] = []

    def nothing(sequence: int) -> None:
        asked.append(sequence)

    with pytest.raises(MissingBaseError, match="motion message 3: its base 250 is not held"):
        codec.decode_message(message, reference, nothing)
    assert asked == [250]


def test_a_repeat_cannot_be_a_base(codec: MotionCodec) -> None:
    """Its original has other coefficients, and the sender knows only that one."""
    reference = made_reference(K)
    frames = walk(reference, 4)
    _, (repeat, frame) = _sent(codec, frames[:2], reference, None, sequence=1, repeats=1)
    with pytest.raises(ValueError, match="base 0: got a repeat"):
        _sent(codec, frames[2:], reference, repeat, sequence=3)
    message, _ = _sent(codec, frames[2:], reference, frame, sequence=3)
    with pytest.raises(MissingBaseError):
        codec.decode_message(message, reference, {1: repeat}.get)


def test_a_frame_is_quantised_like_a_single_one(codec: MotionCodec) -> None:
    """`quantise` rounds to the nearest, a message leaves out what is small: they differ by less than a step."""
    reference = made_reference(K)
    driving = moved(reference, 0.05)
    for quality in (0, 7, 15):
        nearest = _exact(codec, codec.quantise(driving, reference, quality), reference)
        coded = single(codec, driving, reference, quality=quality)
        assert np.abs(nearest - coded.coefficients).max() <= STEPS[quality] * 1.01
        assert np.abs(nearest - _exact(codec, driving, reference)).max() <= STEPS[quality] * 0.51


def test_costs_by_coefficient_are_those_of_the_body(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 5, 0.02)
    base = single(codec, frames[0], reference, sequence=0)
    for start in (None, base):
        message, coded = _sent(codec, frames[1:], reference, start, sequence=4, repeats=1)
        costs = codec.frame_costs(_to_code(frames[1:], 4000), coded, reference, start)
        assert [len(cost.bits) for cost in costs] == [40] * 4
        assert costs[0].mode == (0 if start is None else 4)
        # The rest is the head, and the rounding to whole bytes.
        assert 0 < 8 * len(message.body) - sum(cost.bits.sum() for cost in costs) < 40


def test_a_message_takes_a_few_milliseconds(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 5)
    base = single(codec, frames[0], reference, sequence=0)
    durations = []
    for _ in range(30):
        start = time.perf_counter()
        _sent(codec, frames[1:], reference, base, sequence=4)
        durations.append(time.perf_counter() - start)
    # The fastest of 30, so that a busy machine cannot fail it.
    assert min(durations) < 0.01


def test_caller_mistakes(codec: MotionCodec, synthetic_tables: Build) -> None:
    with pytest.raises(ValueError, match="made for 3 keypoints"):
        MotionCodec(synthetic_tables(SMALL), K)
    reference = made_reference(K)
    base = single(codec, reference, reference, sequence=0)
    frames = walk(reference, 9)
    for count in (0, 9):
        with pytest.raises(ValueError, match=f"frames: got {count}"):
            _sent(codec, frames[:count], reference, None, sequence=8)
    for quality in (-1, 16):
        with pytest.raises(ValueError, match="quality"):
            _sent(codec, frames[:1], reference, None, sequence=4, quality=quality)
        with pytest.raises(ValueError, match="quality"):
            codec.quantise(reference, reference, quality)
    with pytest.raises(ValueError, match="repeats: got 2"):
        _sent(codec, frames[:2], reference, None, sequence=4, repeats=2)
    for count, sequence in ((3, 0), (3, 2), (3, 64), (3, 200), (8, 7), (5, 4)):
        with pytest.raises(ValueError, match="base distance"):
            _sent(codec, frames[:count], reference, base, sequence=sequence)
    with pytest.raises(ValueError, match="sequence: got 256"):
        _sent(codec, frames[:1], reference, None, sequence=256)
    for interval_ms in (0, 1024, -1):
        with pytest.raises(ValueError, match="interval between frames"):
            codec.encode_message(
                _to_code(frames[:2], 4000, interval_ms), reference, slot=0, generation=0, sequence=1, quality=4
            )
    with pytest.raises(ValueError, match="driving: got"):
        _sent(codec, [made_reference(SMALL)], reference, None, sequence=0)
    with pytest.raises(ValueError, match="reference: got"):
        _sent(codec, frames[:1], made_reference(SMALL), None, sequence=0)
