"""References' own parameters: alone and against another reference's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError, MotionCodec, MotionTables
from adasr_core.geometry import MotionParameters
from tests.adasr_core.motion_material import assert_same, code_of, made_reference, moved, plain_tables, raw

Build = Callable[[int], MotionTables]
K = 40
SMALL = 3


@pytest.fixture(scope="module")
def codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(K), K)


@pytest.fixture(scope="module")
def small_codec(synthetic_tables: Build) -> MotionCodec:
    """As many coefficients as parameters: nothing is lost but by quantisation."""
    return MotionCodec(synthetic_tables(SMALL), SMALL)


def test_golden_bytes() -> None:
    codec = MotionCodec(plain_tables(), 1)
    parameters = MotionParameters.create([[1 / 64, -2 / 64]], [[[1.0, 0.25], [-0.25, 1.5]]])
    # Levels 1, -2, 0, 16, -16 from the mean (the identity), then 32, which escapes.
    parts = [*(raw(level + 31, 6) for level in (1, -2, 0, 16, -16)), raw(63, 6), raw(0, 4), raw(0, 1)]
    data = codec.encode_reference(parameters)
    assert data == code_of(parts)
    assert data.hex() == "81d7ef3ff0"
    assert_same(codec.decode_reference(data), parameters)
    # Against the identity they are the same levels of the transform.
    identity = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    assert codec.encode_reference(parameters, identity) == data
    assert_same(codec.decode_reference(data, identity), parameters)


def test_golden_escapes() -> None:
    codec = MotionCodec(plain_tables(), 1)
    parameters = MotionParameters.create([[-1.0, 2.0]], np.eye(2)[None])
    # -64: |level| - 31 = 33 = 100001b, 6 bits. 128: 97 = 1100001b, 7 bits.
    parts = [raw(63, 6), raw(5, 4), raw(0b00001, 5), raw(1, 1), raw(63, 6), raw(6, 4), raw(0b100001, 6), raw(0, 1)]
    data = codec.encode_reference(parameters)
    assert data == code_of(parts + [raw(31, 6)] * 4)
    assert_same(codec.decode_reference(data), parameters)


def test_round_trip_is_idempotent(codec: MotionCodec) -> None:
    data = codec.encode_reference(made_reference(K))
    decoded = codec.decode_reference(data)
    assert codec.encode_reference(decoded) == data
    assert np.abs(decoded.keypoints - made_reference(K).keypoints).max() <= 0.5 / 512 + 1e-6
    assert np.abs(decoded.jacobians - made_reference(K).jacobians).max() <= 0.5 / 64 + 1e-6


def test_against_another_reference(small_codec: MotionCodec) -> None:
    """Rounded to the nearest step at quality index 0."""
    base = small_codec.decode_reference(small_codec.encode_reference(made_reference(SMALL)))
    parameters = moved(base, 0.05)
    data = small_codec.encode_reference(parameters, base)
    decoded = small_codec.decode_reference(data, base)
    error = small_codec.transform(decoded, base) - small_codec.transform(parameters, base)
    assert np.abs(error).max() <= 0.5 * small_codec.steps[0] * 1.001
    assert small_codec.encode_reference(decoded, base) == data
    with pytest.raises(AssertionError):
        assert_same(small_codec.decode_reference(data, made_reference(SMALL, 5)), decoded)


def test_another_reference_saves_most_of_the_bytes(codec: MotionCodec) -> None:
    base = codec.decode_reference(codec.encode_reference(made_reference(K)))
    parameters = moved(base, 0.005)
    assert len(codec.encode_reference(parameters, base)) < len(codec.encode_reference(parameters)) / 4
    assert len(codec.encode_reference(base, base)) <= 8
    # Only what the transform cannot say is lost.
    again = codec.decode_reference(codec.encode_reference(base, base), base)
    assert_same(again, base)


def test_extremes_come_back_or_are_clamped(codec: MotionCodec) -> None:
    far = MotionParameters.create(np.full((K, 2), 4.0), np.full((K, 2, 2), -16.0))
    assert len(codec.encode_reference(far)) <= 4096
    decoded = codec.decode_reference(codec.encode_reference(far))
    np.testing.assert_allclose(decoded.keypoints, 4.0, atol=0.5 / 512 + 1e-6)
    np.testing.assert_allclose(decoded.jacobians, -16.0, atol=0.5 / 64 + 1e-6)
    folded = MotionParameters.create(np.full((K, 2), -4.0), np.full((K, 2, 2), 1e-6))
    for parameters, base in ((far, folded), (folded, far), (far, made_reference(K))):
        decoded = codec.decode_reference(codec.encode_reference(parameters, base), base)
        assert np.abs(decoded.keypoints).max() <= 4
        assert np.abs(decoded.jacobians).max() <= 16


def test_every_truncation(codec: MotionCodec) -> None:
    base = made_reference(K)
    parameters = moved(base, 0.05)
    for against in (None, base):
        data = codec.encode_reference(parameters, against)
        intact = codec.decode_reference(data, against)
        for length in range(len(data)):
            try:
                decoded = codec.decode_reference(data[:length], against)
            except BitstreamError:
                continue
            assert not np.array_equal(decoded.vector(), intact.vector())
        with pytest.raises(BitstreamError):
            codec.decode_reference(data + b"\0", against)


@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_fuzz(codec: MotionCodec, data: bytes) -> None:
    try:
        decoded = codec.decode_reference(data)
    except BitstreamError:
        return
    largest = max(np.abs(decoded.keypoints).max() / 4, np.abs(decoded.jacobians).max() / 16)
    assert largest <= 1
    assert largest == 1 or codec.encode_reference(decoded) == data


@settings(deadline=None)
@given(data=st.binary(max_size=60))
def test_fuzz_against_another_reference(codec: MotionCodec, data: bytes) -> None:
    try:
        decoded = codec.decode_reference(data, made_reference(K))
    except BitstreamError:
        return
    assert np.abs(decoded.keypoints).max() <= 4
    assert np.abs(decoded.jacobians).max() <= 16


def test_refusals(codec: MotionCodec) -> None:
    for base in (None, made_reference(K)):
        with pytest.raises(BitstreamError, match="coded bytes: got 4097"):
            codec.decode_reference(b"\1" * 4097, base)
    other = made_reference(SMALL)
    for act in (
        lambda: codec.encode_reference(other),
        lambda: codec.encode_reference(made_reference(K), other),
        lambda: codec.decode_reference(b"", other),
    ):
        with pytest.raises(ValueError, match=r"got \(3, 2\) keypoints, expected \(40, 2\)"):
            act()
