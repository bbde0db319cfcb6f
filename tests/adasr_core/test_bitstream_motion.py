"""Motion and reference coding: precision, agreement of both ends, golden bytes, fuzz, speed."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.tables import MotionTables
from adasr_core.geometry import MotionParameters

Build = Callable[[int], MotionTables]
K = 40


@pytest.fixture(scope="module")
def codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(K), K)


@pytest.fixture(scope="module")
def small_codec(synthetic_tables: Build) -> MotionCodec:
    """Three keypoints, and as many coefficients as parameters: nothing is lost but by quantisation."""
    return MotionCodec(synthetic_tables(3), 3)


def _reference(K: int, seed: int = 0) -> MotionParameters:
    generator = np.random.default_rng(seed)
    jacobians = np.eye(2) + generator.normal(size=(K, 2, 2)) * 0.1
    return MotionParameters.create(generator.uniform(-0.7, 0.7, (K, 2)), jacobians)


def _moved(reference: MotionParameters, amount: float, seed: int = 1) -> MotionParameters:
    generator = np.random.default_rng(seed)
    return MotionParameters.create(
        reference.keypoints + generator.normal(size=reference.keypoints.shape) * amount,
        reference.jacobians + generator.normal(size=reference.jacobians.shape) * amount,
    )


def _assert_same(a: MotionParameters, b: MotionParameters) -> None:
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    np.testing.assert_array_equal(a.jacobians, b.jacobians)


@pytest.mark.parametrize("quality", range(16))
def test_both_ends_hold_the_same_parameters(codec: MotionCodec, quality: int) -> None:
    reference = codec.decode_reference(codec.encode_reference(_reference(K)))
    for seed in range(5):
        driving = _moved(reference, 0.05, seed)
        body = codec.encode(driving, reference, quality)
        _assert_same(codec.decode(body, reference, quality), codec.quantise(driving, reference, quality))


def test_error_is_within_half_a_step(small_codec: MotionCodec) -> None:
    reference = _reference(3)
    driving = _moved(reference, 0.1)
    for quality in (0, 4, 8):
        step = 0.01 * 2 ** (quality / 4)
        decoded = small_codec.decode(small_codec.encode(driving, reference, quality), reference, quality)
        # The basis is orthonormal: the error's norm is at most half a step times the root of the 18 coefficients.
        assert np.linalg.norm(decoded.keypoints - driving.keypoints) <= 0.5 * step * np.sqrt(18) + 1e-5
        relative = (decoded.jacobians - driving.jacobians) @ np.linalg.inv(reference.jacobians)
        assert np.linalg.norm(relative) <= 0.5 * step * np.sqrt(18) + 1e-5
        assert decoded.distance(driving) > 0


def test_coarser_quality_costs_fewer_bytes(codec: MotionCodec) -> None:
    reference = _reference(K)
    driving = _moved(reference, 0.05)
    lengths = [len(codec.encode(driving, reference, quality)) for quality in range(16)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[15] < lengths[0] / 2


def test_any_packet_decodes_on_its_own(codec: MotionCodec) -> None:
    reference = _reference(K)
    frames = [_moved(reference, 0.02 * n, n) for n in range(6)]
    bodies = [codec.encode(frame, reference, 2) for frame in frames]
    expected = [codec.quantise(frame, reference, 2) for frame in frames]
    for n in (5, 0, 3, 3, 1):
        _assert_same(codec.decode(bodies[n], reference, 2), expected[n])


def test_extreme_motion_still_fits_a_packet_and_comes_back(synthetic_tables: Build, codec: MotionCodec) -> None:
    reference = _reference(K)
    far = MotionParameters.create(np.full((K, 2), 4.0), np.full((K, 2, 2), -16.0))
    body = codec.encode(far, reference, 0)
    assert len(body) <= 250
    _assert_same(codec.decode(body, reference, 0), codec.quantise(far, reference, 0))
    assert len(codec.encode_reference(far)) <= 4096
    decoded = codec.decode_reference(codec.encode_reference(far))
    np.testing.assert_allclose(decoded.keypoints, 4.0, atol=0.5 / 512 + 1e-6)
    np.testing.assert_allclose(decoded.jacobians, -16.0, atol=0.5 / 64 + 1e-6)


def test_singular_reference_jacobians_are_survived(small_codec: MotionCodec) -> None:
    reference = MotionParameters.create(np.zeros((3, 2)), np.zeros((3, 2, 2)))
    driving = _moved(_reference(3), 0.1)
    body = small_codec.encode(driving, reference, 0)
    decoded = small_codec.decode(body, reference, 0)
    _assert_same(decoded, small_codec.quantise(driving, reference, 0))
    np.testing.assert_allclose(decoded.keypoints, driving.keypoints, atol=0.05)


def test_decoded_values_are_clamped(small_codec: MotionCodec) -> None:
    edge = MotionParameters.create(np.full((3, 2), 4.0), np.full((3, 2, 2), [[16.0, 0.0], [0.0, 16.0]]))
    inside = _reference(3)
    # A body that was made for one reference, applied to another, leads far outside.
    decoded = small_codec.decode(small_codec.encode(edge, inside, 0), edge, 0)
    assert np.abs(decoded.keypoints).max() == 4.0
    assert np.abs(decoded.jacobians).max() == 16.0


def test_reference_round_trip_is_idempotent(codec: MotionCodec) -> None:
    data = codec.encode_reference(_reference(K))
    decoded = codec.decode_reference(data)
    assert codec.encode_reference(decoded) == data
    assert np.abs(decoded.keypoints - _reference(K).keypoints).max() <= 0.5 / 512 + 1e-6
    assert np.abs(decoded.jacobians - _reference(K).jacobians).max() <= 0.5 / 64 + 1e-6


def _plain_tables() -> MotionTables:
    """One keypoint, no transform, steps that floats hold exactly: golden bytes that no machine can change."""
    row = [64] * 63 + [64]
    return MotionTables(
        basis=np.eye(6, dtype=np.float32),
        synthesis=np.eye(6, dtype=np.float32),
        mean=np.zeros(6, dtype=np.float32),
        steps=np.full(6, 1 / 64, dtype=np.float32),
        frequencies=np.tile(np.array(row, dtype=np.uint16), (16, 6, 1)),
        reference_mean=np.array([0, 0, 1, 0, 0, 1], dtype=np.float32),
        reference_steps=np.full(6, 1 / 64, dtype=np.float32),
        reference_frequencies=np.tile(np.array(row, dtype=np.uint16), (6, 1)),
    )


def test_golden_bytes() -> None:
    codec = MotionCodec(_plain_tables(), 1)
    identity = np.eye(2)[None]
    reference = MotionParameters.create([[0.0, 0.0]], identity)
    driving = MotionParameters.create([[1 / 64, -2 / 64]], [[[1.0, 0.25], [-0.25, 1.5]]])
    # Levels 1, -2, 0, 16, -16, 32; 31 is the largest with a symbol, so the last one is escape (63), 0000, sign 0.
    bits = "".join(f"{symbol:06b}" for symbol in (32, 29, 31, 47, 15, 63)) + "0000" + "0"
    expected = int(bits.ljust(48, "0"), 2).to_bytes(6, "big").rstrip(b"\0")
    assert codec.encode(driving, reference, 0) == expected
    assert expected.hex() == "81d7ef3ff0"
    _assert_same(codec.decode(expected, reference, 0), driving)
    # The same levels as a reference's own parameters (mean: the identity).
    assert codec.encode_reference(driving) == expected
    _assert_same(codec.decode_reference(expected), driving)
    # One octave coarser, halves to even: levels 0, -1, 0, 8, -8, 16.
    assert codec.encode(driving, reference, 4).hex() == "7de7e75ef0"


def test_golden_escapes() -> None:
    codec = MotionCodec(_plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    driving = MotionParameters.create([[-1.0, 2.0]], np.eye(2)[None])
    # -64: |level| - 31 = 33 = 100001b, 6 bits: 0101, 00001, 1. 128: 97 = 1100001b, 7 bits: 0110, 100001, 0.
    bits = "111111" + "0101" + "00001" + "1" + "111111" + "0110" + "100001" + "0" + "011111" * 4
    expected = int(bits.ljust(64, "0"), 2).to_bytes(8, "big").rstrip(b"\0")
    body = codec.encode(driving, reference, 0)
    assert body == expected
    _assert_same(codec.decode(body, reference, 0), driving)


def test_overlong_escape_is_refused() -> None:
    codec = MotionCodec(_plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    with pytest.raises(BitstreamError, match="escaped level"):
        codec.decode(b"\xff\xff", reference, 0)


def test_every_truncation(codec: MotionCodec) -> None:
    reference = _reference(K)
    driving = _moved(reference, 0.1)
    body = codec.encode(driving, reference, 0)
    intact = codec.decode(body, reference, 0)
    for length in range(len(body)):
        try:
            decoded = codec.decode(body[:length], reference, 0)
        except BitstreamError:
            continue
        assert decoded.distance(intact) > 0
    data = codec.encode_reference(reference)
    for length in range(len(data)):
        try:
            assert codec.decode_reference(data[:length]).count == K
        except BitstreamError:
            continue


@settings(max_examples=300)
@given(data=st.binary(max_size=260), quality=st.integers(0, 15))
def test_body_fuzz(codec: MotionCodec, data: bytes, quality: int) -> None:
    reference = _reference(K)
    try:
        decoded = codec.decode(data, reference, quality)
    except BitstreamError:
        return
    assert np.isfinite(decoded.keypoints).all()
    assert np.abs(decoded.keypoints).max() <= 4
    assert np.abs(decoded.jacobians).max() <= 16


@given(data=st.binary(max_size=24))
def test_small_body_fuzz_reaches_sound_codes(small_codec: MotionCodec, data: bytes) -> None:
    reference = _reference(3)
    try:
        decoded = small_codec.decode(data, reference, 0)
    except BitstreamError:
        return
    assert np.abs(decoded.jacobians).max() <= 16


@given(data=st.binary(max_size=400))
def test_reference_fuzz(codec: MotionCodec, data: bytes) -> None:
    try:
        decoded = codec.decode_reference(data)
    except BitstreamError:
        return
    largest = np.abs(decoded.keypoints).max() / 4, np.abs(decoded.jacobians).max() / 16
    assert max(largest) <= 1
    assert max(largest) == 1 or codec.encode_reference(decoded) == data


def test_too_long_is_refused(codec: MotionCodec) -> None:
    with pytest.raises(BitstreamError, match="coded bytes"):
        codec.decode(b"\1" * 251, _reference(K), 0)
    with pytest.raises(BitstreamError, match="coded bytes"):
        codec.decode_reference(b"\1" * 4097)


@given(
    keypoints=arrays(np.float32, (3, 2), elements=st.floats(width=32)),
    jacobians=arrays(np.float32, (3, 2, 2), elements=st.floats(width=32)),
    quality=st.integers(0, 15),
)
def test_any_input_is_coded_or_refused(
    small_codec: MotionCodec, keypoints: npt.NDArray[np.float32], jacobians: npt.NDArray[np.float32], quality: int
) -> None:
    wild, reference = MotionParameters(keypoints, jacobians), _reference(3)
    absurd = not (np.abs(keypoints).max() <= 4 and np.abs(jacobians).max() <= 16)
    if absurd:
        for act in (
            lambda: small_codec.encode(wild, reference, quality),
            lambda: small_codec.quantise(reference, wild, quality),
            lambda: small_codec.decode(b"", wild, quality),
            lambda: small_codec.encode_reference(wild),
        ):
            with pytest.raises(ValueError, match="drop this frame"):
                act()
        return
    body = small_codec.encode(wild, reference, quality)
    _assert_same(small_codec.decode(body, reference, quality), small_codec.quantise(wild, reference, quality))
    # As a reference, any sane parameters can be coded against, singular Jacobians and all.
    own = small_codec.decode_reference(small_codec.encode_reference(wild))
    _assert_same(
        small_codec.decode(small_codec.encode(reference, own, quality), own, quality),
        small_codec.quantise(reference, own, quality),
    )


def test_caller_mistakes(codec: MotionCodec, synthetic_tables: Build) -> None:
    with pytest.raises(ValueError, match="made for 3 keypoints"):
        MotionCodec(synthetic_tables(3), K)
    reference = _reference(K)
    with pytest.raises(ValueError, match="quality"):
        codec.encode(reference, reference, 16)
    with pytest.raises(ValueError, match="quality"):
        codec.decode(b"", reference, -1)
    with pytest.raises(ValueError, match="driving"):
        codec.encode(_reference(3), reference, 0)
    with pytest.raises(ValueError, match="reference"):
        codec.encode(reference, _reference(3), 0)


def test_a_body_takes_well_below_a_millisecond(codec: MotionCodec) -> None:
    reference = _reference(K)
    driving = _moved(reference, 0.05)
    body = codec.encode(driving, reference, 2)

    def fastest_ms(act: Callable[[], object]) -> float:
        durations = []
        for _ in range(50):
            start = time.perf_counter()
            act()
            durations.append(time.perf_counter() - start)
        return min(durations) * 1e3

    # The fastest of 50, so that a busy machine cannot fail it.
    assert fastest_ms(lambda: codec.encode(driving, reference, 2)) < 1.0
    assert fastest_ms(lambda: codec.decode(body, reference, 2)) < 1.0
