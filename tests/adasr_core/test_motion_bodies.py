"""Bodies of messages from hostile or broken senders, golden bodies, values at the edge of what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from adasr_core.bitstream import (
    MAX_MESSAGE_BYTES,
    BitstreamError,
    CodedFrame,
    FrameToCode,
    MotionCodec,
    MotionMessage,
    MotionTables,
)
from adasr_core.geometry import MotionParameters
from tests.adasr_core.motion_material import (
    assert_same,
    assert_same_frames,
    code_of,
    made_reference,
    moved,
    plain_tables,
    raw,
    single,
    walk,
)

Build = Callable[[int], MotionTables]
K = 40
SMALL = 3
GOLDEN_FIRST = "0007dc92fc5f08"
GOLDEN_OF_EIGHT = "72ac0d2d1d9ea00adb3e738ac1fffffe7214e4defc44f4172aca18e4defc44f4172f73da3640"
GOLDEN_SECOND = "22982141a744925782cb4940"


@pytest.fixture(scope="module")
def codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(K), K)


@pytest.fixture(scope="module")
def small_codec(synthetic_tables: Build) -> MotionCodec:
    return MotionCodec(synthetic_tables(SMALL), SMALL)


def _message(body: bytes, sequence: int = 10, time_ms: int = 400) -> MotionMessage:
    return MotionMessage(slot=0, generation=0, sequence=sequence, time_ms=time_ms, body=body)


def _symbols(*levels: int) -> list[tuple[int, int, int]]:
    """Levels within -31..31 with the plain tables."""
    return [raw(level + 31, 6) for level in levels]


def test_golden_bodies() -> None:
    """Against the document, done by hand: one frame alone, then two against it."""
    codec = MotionCodec(plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    driving = MotionParameters.create([[1 / 64, -2 / 64]], [[[1.0, 0.25], [-0.25, 1.5]]])
    message, (first,) = codec.encode_message(
        [FrameToCode(100, driving)], reference, slot=1, generation=2, sequence=7, quality=0
    )
    # Levels 1, -2, 0, 16, -16, 32; 31 is the largest with a symbol: the last is 63, then one bit fewer than 1, a sign.
    parts = [(0, 496, 16384), raw(0, 4), raw(0, 3), *_symbols(1, -2, 0, 16, -16), raw(63, 6), raw(0, 4), raw(0, 1)]
    assert message.body == code_of(parts)
    assert message.pack().hex() == "12070064" + message.body.hex()
    assert message.body.hex() == GOLDEN_FIRST
    assert first.coefficients == (64, -128, 0, 1024, -1024, 2048)
    assert_same(first.parameters, driving)
    # Two frames later, 41 ms apart, the quality index four higher: a step is 128 units.
    later = MotionParameters.create([[5 / 64, -2 / 64]], [[[1.0, 0.25], [-0.25, 1.5]]])
    frames = [FrameToCode(141, later), FrameToCode(182, later)]
    message, (older, newest) = codec.encode_message(
        frames, reference, slot=1, generation=2, sequence=9, quality=4, base=first
    )
    parts = [
        (496 + 864, 864, 16384),  # distance 2
        (16128, 256, 16384),
        raw(4, 4),
        raw(1, 3),
        (0, 15872, 16384),
        (40 + 40 + 40 + 40 + 120 + 250 + 700 + 2400, 9000, 16384),  # 82 // 2 = 41 ms is expected
        *_symbols(2, 0, 0, 0, 0, 0),  # newest: (320 - 64) / 128
        *_symbols(1, 0, 0, 0, 0, 0),  # older, from the mean of 64 and 320: (320 - 192) / 128
    ]
    assert message.body == code_of(parts)
    assert message.body.hex() == GOLDEN_SECOND
    assert newest.coefficients == older.coefficients == (320, -128, 0, 1024, -1024, 2048)
    received = codec.decode_message(message, reference, {7: first}.get)
    assert_same_frames(received, (older, newest))
    assert_same(received[0].parameters, later)


def test_a_golden_body_of_eight_frames() -> None:
    """Against the document, done by hand: the newest frame from the base, then between them from the middle outward."""
    codec = MotionCodec(plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    base = single(codec, reference, reference, sequence=250, time_ms=0, quality=0)
    # x of age 7 ... 0, in steps of quality 0.
    x = (0, 2, 3, 4, 5, 5, 9, 8)
    frames = [
        FrameToCode(40 * n, MotionParameters.create([[value / 64, 0.0]], np.eye(2)[None]))
        for n, value in enumerate(x, 1)
    ]
    message, coded = codec.encode_message(frames, reference, slot=0, generation=0, sequence=2, quality=0, base=base)
    # Age 0: 8. Age 4 from 0 and 8: 4, as it is. Age 6 from 0 and 4: 2, as it is. Age 7 from 0 and 2: 1, but it is 0.
    # Age 5 from 2 and 4: 3, as it is. Age 2 from 4 and 8: 6, but it is 5. Age 3 from 4 and 5: 4.5, it is 5, and half a
    # step is left out. Age 1 from 5 and 8: 6.5, it is 9: two steps and a half, of which the half is left out.
    parts = [(496 + 7 * 864, 864, 16384), (0, 16128, 16384), raw(7, 3), (0, 15872, 16384)]
    parts += 7 * [(40 + 40 + 40 + 40 + 120 + 250 + 700 + 2400, 9000, 16384)]
    for level in (8, 0, 0, -1, 0, -1, 0, 2):
        parts += _symbols(level, 0, 0, 0, 0, 0)
    assert message.body == code_of(parts)
    assert message.body.hex() == GOLDEN_OF_EIGHT
    assert [frame.coefficients[0] for frame in coded] == [0, 128, 192, 256, 288, 320, 544, 512]
    assert_same_frames(codec.decode_message(message, reference, {250: base}.get), coded)


def test_every_truncation(codec: MotionCodec) -> None:
    reference = made_reference(K)
    frames = walk(reference, 9, 0.05)
    base = single(codec, frames[0], reference, sequence=2, time_ms=80)
    message, intact = codec.encode_message(
        [FrameToCode(120 + 40 * n, frame) for n, frame in enumerate(frames[1:])],
        reference,
        slot=0,
        generation=0,
        sequence=10,
        quality=2,
        base=base,
        repeats=1,
    )
    for length in range(len(message.body)):
        try:
            received = codec.decode_message(_message(message.body[:length]), reference, lambda _: base)
        except BitstreamError:
            continue
        assert [frame.coefficients for frame in received] != [frame.coefficients for frame in intact]


def test_longer_bodies_are_refused_or_say_something_else(codec: MotionCodec) -> None:
    """With zeros behind it a body is worth the same, and refused; with anything else it is another number."""
    reference = made_reference(K)
    message, (intact,) = codec.encode_message(
        [FrameToCode(400, moved(reference, 0.05))], reference, slot=0, generation=0, sequence=10, quality=2
    )
    for tail in (b"\0", b"\0\0\0"):
        with pytest.raises(BitstreamError):
            codec.decode_message(_message(message.body + tail), reference, lambda _: None)
    for tail in (bytes((value,)) for value in range(1, 256)):
        try:
            received = codec.decode_message(_message(message.body + tail), reference, lambda _: None)
        except BitstreamError:
            continue
        assert received[-1].coefficients != intact.coefficients


def test_an_overlong_escape_is_refused() -> None:
    codec = MotionCodec(plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    head = [(0, 496, 16384), raw(0, 4), raw(0, 3)]
    for length, refused in ((14, False), (15, True)):
        body = code_of([*head, raw(63, 6), raw(length, 4), raw(0, length), raw(0, 1), *_symbols(0, 0, 0, 0, 0)])
        if refused:
            with pytest.raises(BitstreamError, match="escaped level: got 16 bits"):
                codec.decode_message(_message(body), reference, lambda _: None)
        else:
            (frame,) = codec.decode_message(_message(body), reference, lambda _: None)
            assert frame.coefficients[0] == ((1 << 14) + 31) * 64


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=200), held=st.booleans(), elsewhere=st.booleans())
def test_fuzz(codec: MotionCodec, data: bytes, held: bool, elsewhere: bool) -> None:
    """Any body decodes to sane frames or raises BitstreamError."""
    reference = made_reference(K)
    base = single(codec, moved(reference, 0.05), reference, time_ms=200, slot=int(elsewhere)) if held else None
    try:
        frames = codec.decode_message(_message(data), reference, lambda _: base)
    except BitstreamError:
        return
    _assert_sane(frames, 1 << 24)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=12))
def test_what_decodes_is_what_the_encoder_writes(data: bytes) -> None:
    """With plain tables short codes are whole messages: what they decode to is coded to the same bytes again."""
    codec = MotionCodec(plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    still = single(codec, reference, reference, time_ms=320)
    asked: list[CodedFrame] = []

    def find(sequence: int) -> CodedFrame:
        asked.append(replace(still, sequence=sequence))
        return asked[0]

    try:
        frames = codec.decode_message(_message(data), reference, find)
    except BitstreamError:
        return
    _assert_sane(frames, 1 << 24)
    assert [frame.sequence for frame in frames] == list(range(11 - len(frames), 11))
    if max(max(map(abs, frame.coefficients)) for frame in frames) > 3 * 4096:
        return  # clamped, perhaps
    message, again = codec.encode_message(
        [FrameToCode(frame.time_ms, frame.parameters) for frame in frames],
        reference,
        slot=0,
        generation=0,
        sequence=10,
        quality=frames[-1].quality,
        base=asked[0] if asked else None,
        repeats=sum(frame.repeat for frame in frames),
    )
    assert message.body == data
    assert_same_frames(again, frames)


def _assert_sane(frames: tuple[CodedFrame, ...], largest: int) -> None:
    assert 1 <= len(frames) <= 8
    for frame in frames:
        assert max(map(abs, frame.coefficients)) <= largest
        assert np.isfinite(frame.parameters.keypoints).all()
        assert np.abs(frame.parameters.keypoints).max() <= 4
        assert np.abs(frame.parameters.jacobians).max() <= 16
        assert 0 <= frame.sequence < 256
        assert 0 <= frame.time_ms < 65_536
        assert 0 <= frame.quality <= 15


def test_extreme_motion_fits_a_message_and_comes_back_clamped(codec: MotionCodec) -> None:
    reference = made_reference(K)
    far = [
        MotionParameters.create(np.full((K, 2), sign * 4.0), np.full((K, 2, 2), -sign * 16.0)) for sign in (1, -1) * 4
    ]
    message, coded = codec.encode_message(
        [FrameToCode(40 * n, frame) for n, frame in enumerate(far)],
        reference,
        slot=0,
        generation=0,
        sequence=10,
        quality=0,
    )
    assert len(message.pack()) <= MAX_MESSAGE_BYTES
    received = codec.decode_message(message, reference, lambda _: None)
    assert_same_frames(received, coded)
    _assert_sane(received, 1 << 24)
    # A body that was made for one reference, applied to another, leads far outside: it is held at the limits.
    edge = MotionParameters.create(np.full((K, 2), 4.0), np.tile(16.0 * np.eye(2), (K, 1, 1)))
    _assert_sane(codec.decode_message(message, edge, lambda _: None), 1 << 24)


def test_coefficients_cannot_grow_without_end() -> None:
    """A hostile chain adds the largest level again and again."""
    codec = MotionCodec(plain_tables(), 1)
    reference = MotionParameters.create([[0.0, 0.0]], np.eye(2)[None])
    base = single(codec, reference, reference, sequence=9, quality=15)
    # Distance 1, the base's quality index, one frame; every level is the largest escape.
    head = [(496, 864, 16384), (0, 16128, 16384), raw(0, 3)]
    escape = [raw(63, 6), raw(14, 4), raw((1 << 14) - 1, 14), raw(0, 1)]
    message = _message(code_of(head + 6 * escape))
    for _ in range(5):
        (base,) = codec.decode_message(message, reference, lambda _, known=base: known)  # type: ignore[misc]
        _assert_sane((base,), 1 << 24)
    assert base.coefficients == (1 << 24,) * 6


def test_a_base_of_a_distant_reference_is_clamped(small_codec: MotionCodec) -> None:
    """Folded Jacobians make the conversion explode: both ends hold it at the same limit."""
    folded = MotionParameters.create(np.full((SMALL, 2), 4.0), np.full((SMALL, 2, 2), 1e-6))
    base = single(small_codec, made_reference(SMALL), made_reference(SMALL), sequence=9, slot=1)
    message, coded = small_codec.encode_message(
        [FrameToCode(400, made_reference(SMALL))], folded, slot=0, generation=0, sequence=10, quality=4, base=base
    )
    received = small_codec.decode_message(message, folded, lambda _: base)
    assert_same_frames(received, coded)
    _assert_sane(received, 1 << 24)


def test_singular_reference_jacobians_are_survived(small_codec: MotionCodec) -> None:
    reference = MotionParameters.create(np.zeros((SMALL, 2)), np.zeros((SMALL, 2, 2)))
    driving = moved(made_reference(SMALL), 0.1)
    coded = single(small_codec, driving, reference, quality=0)
    np.testing.assert_allclose(coded.parameters.keypoints, driving.keypoints, atol=0.05)


def test_a_body_over_the_limit_is_refused(codec: MotionCodec) -> None:
    message = _message(b"\1" * (MAX_MESSAGE_BYTES - 4))
    with pytest.raises(BitstreamError):
        codec.decode_message(message, made_reference(K), lambda _: None)


@settings(deadline=None)
@given(
    keypoints=arrays(np.float32, (SMALL, 2), elements=st.floats(width=32)),
    jacobians=arrays(np.float32, (SMALL, 2, 2), elements=st.floats(width=32)),
    quality=st.integers(0, 15),
)
def test_any_input_is_coded_or_refused(
    small_codec: MotionCodec, keypoints: npt.NDArray[np.float32], jacobians: npt.NDArray[np.float32], quality: int
) -> None:
    wild, reference = MotionParameters(keypoints, jacobians), made_reference(SMALL)
    absurd = not (np.abs(keypoints).max() <= 4 and np.abs(jacobians).max() <= 16)
    if absurd:
        for act in (
            lambda: single(small_codec, wild, reference, quality=quality),
            lambda: single(small_codec, reference, wild, quality=quality),
            lambda: small_codec.quantise(reference, wild, quality),
            lambda: small_codec.decode_message(_message(b""), wild, lambda _: None),
            lambda: small_codec.encode_reference(wild),
            lambda: small_codec.encode_reference(reference, wild),
            lambda: small_codec.decode_reference(b"", wild),
        ):
            with pytest.raises(ValueError, match="drop this frame") as caught:
                act()
            assert not isinstance(caught.value, BitstreamError)
        return
    own = small_codec.decode_reference(small_codec.encode_reference(wild))
    # As a reference, any sane parameters can be coded against, singular Jacobians and all.
    for driving, against in ((wild, reference), (reference, own)):
        message, coded = small_codec.encode_message(
            [FrameToCode(0, driving)], against, slot=0, generation=0, sequence=0, quality=quality
        )
        assert_same_frames(small_codec.decode_message(message, against, lambda _: None), coded)
        _assert_sane(coded, 1 << 24)
