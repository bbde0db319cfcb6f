"""What a message says before its levels: every layout, the document's bits, forms that no encoder writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasr_core.bitstream.entropy import Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.message_head import KnownBase, MessageHead, decode_head, encode_head
from tests.adasr_core.motion_material import code_of, raw

# The document's frequencies, said once more.
DISTANCE = FrequencyTable.from_frequencies([496] + [864] * 15 + [61] * 48)
QUALITY = FrequencyTable.from_frequencies([16128, 256])
REPEATS = FrequencyTable.from_frequencies([15872, 512])
NEAR = [40, 40, 40, 40, 120, 250, 700, 2400, 9000, 2400, 700, 250, 120, 40, 40, 40, 40, 124]
INTERVAL = FrequencyTable.from_frequencies(NEAR)


def _encoded(head: MessageHead, base: KnownBase | None) -> bytes:
    encoder = Encoder()
    encode_head(encoder, head, base)
    return encoder.finish()


def _decoded(data: bytes, base: KnownBase | None, distance: int = 0) -> MessageHead:
    def find(asked: int) -> KnownBase:
        assert base is not None
        assert not distance or asked == distance
        return base

    decoder = Decoder(data, 64)
    head = decode_head(decoder, find)
    decoder.finish()
    return head


@st.composite
def heads(draw: st.DrawFn) -> tuple[MessageHead, KnownBase | None]:
    frames = draw(st.integers(1, 8))
    distance = draw(st.one_of(st.just(0), st.integers(frames, 63)))
    base = KnownBase(draw(st.integers(0, 15)), draw(st.integers(0, 65_535))) if distance else None
    usual = 40 if base is None else min(max(base.elapsed_ms // distance, 1), 1023)
    near = st.integers(max(1, usual - 10), min(1023, usual + 10))
    intervals = draw(st.lists(st.one_of(near, st.integers(1, 1023)), min_size=frames - 1, max_size=frames - 1))
    head = MessageHead(
        distance=distance,
        quality=draw(st.integers(0, 15)),
        repeats=draw(st.integers(0, frames - 1)),
        intervals_ms=tuple(intervals),
    )
    return head, base


@settings(deadline=None)
@given(heads())
def test_round_trip(drawn: tuple[MessageHead, KnownBase | None]) -> None:
    head, base = drawn
    data = _encoded(head, base)
    assert _decoded(data, base, head.distance) == head
    assert len(data) <= 20


def test_golden_bytes_without_a_base() -> None:
    head = MessageHead(distance=0, quality=5, repeats=2, intervals_ms=(40, 33, 300))
    parts = [
        (0, 496, 16384),
        raw(5, 4),
        raw(3, 3),
        (15872, 512, 16384),
        raw(1, 3),
        (sum(NEAR[:8]), 9000, 16384),
        (sum(NEAR[:1]), 40, 16384),  # 33 where 40 is expected: symbol 1
        (16384 - 124, 124, 16384),
        raw(300, 10),
    ]
    assert _encoded(head, None) == code_of(parts)
    assert _encoded(head, None).hex() == "02a996f9c154"


def test_golden_bytes_with_a_base() -> None:
    base = KnownBase(quality=4, elapsed_ms=130)
    same = MessageHead(distance=3, quality=4, repeats=0, intervals_ms=(43,))
    other = MessageHead(distance=20, quality=15, repeats=0, intervals_ms=())
    # 130 // 3 = 43 is expected.
    parts = [(496 + 2 * 864, 864, 16384), (0, 16128, 16384), raw(1, 3), (0, 15872, 16384), (sum(NEAR[:8]), 9000, 16384)]
    assert _encoded(same, base) == code_of(parts)
    assert _encoded(same, base).hex() == "25"
    parts = [(496 + 15 * 864 + 4 * 61, 61, 16384), (16128, 256, 16384), raw(15, 4), raw(0, 3)]
    assert _encoded(other, base) == code_of(parts)


def test_golden_bytes_of_the_longest_message() -> None:
    """Eight frames against the message before, seven of them repeats."""
    head = MessageHead(distance=8, quality=4, repeats=7, intervals_ms=(40,) * 7)
    parts = [(496 + 7 * 864, 864, 16384), (0, 16128, 16384), raw(7, 3), (15872, 512, 16384), raw(6, 3)]
    parts += 7 * [(sum(NEAR[:8]), 9000, 16384)]
    assert _encoded(head, KnownBase(4, 320)) == code_of(parts)
    assert _encoded(head, KnownBase(4, 320)).hex() == "738780"


@pytest.mark.parametrize(("frames", "most"), [(4, 2), (8, 3)])
def test_the_usual_head_costs_a_few_bytes(frames: int, most: int) -> None:
    """Frames at a steady rate from the message before; rounding to whole bytes included."""
    head = MessageHead(distance=frames, quality=4, repeats=0, intervals_ms=(40,) * (frames - 1))
    assert len(_encoded(head, KnownBase(4, 40 * frames))) <= most


@pytest.mark.parametrize(("elapsed_ms", "expected_ms"), [(0, 1), (3, 1), (4, 1), (163, 40), (65_535, 1023)])
def test_the_expected_interval_is_the_mean_since_the_base(elapsed_ms: int, expected_ms: int) -> None:
    lengths = {
        interval: len(
            _encoded(
                MessageHead(distance=4, quality=0, repeats=0, intervals_ms=(interval,) * 3), KnownBase(0, elapsed_ms)
            )
        )
        for interval in (expected_ms, 500)
    }
    assert lengths[expected_ms] <= 2 < lengths[500]


def _code(*parts: tuple[FrequencyTable | int, int]) -> bytes:
    encoder = Encoder()
    for table, value in parts:
        if isinstance(table, int):
            encoder.encode_bits(value, table)
        else:
            encoder.encode(value, table)
    return encoder.finish()


def test_forms_that_no_encoder_writes_are_refused() -> None:
    base = KnownBase(quality=4, elapsed_ms=160)
    with pytest.raises(BitstreamError, match="quality: the base's"):
        _decoded(_code((DISTANCE, 4), (QUALITY, 1), (4, 4), (3, 0)), base)
    for interval_ms in (32, 40, 48):
        with pytest.raises(BitstreamError, match=f"interval: {interval_ms} ms escaped in vain"):
            _decoded(_code((DISTANCE, 0), (4, 4), (3, 1), (REPEATS, 0), (INTERVAL, 17), (10, interval_ms)), None)
    with pytest.raises(BitstreamError, match="interval: got 0 ms"):
        _decoded(_code((DISTANCE, 0), (4, 4), (3, 1), (REPEATS, 0), (INTERVAL, 17), (10, 0)), None)
    with pytest.raises(BitstreamError, match="interval: got -7 ms"):
        _decoded(_code((DISTANCE, 2), (QUALITY, 0), (3, 1), (REPEATS, 0), (INTERVAL, 0)), KnownBase(4, 2))
    with pytest.raises(BitstreamError, match="interval: got 1024 ms"):
        _decoded(_code((DISTANCE, 2), (QUALITY, 0), (3, 1), (REPEATS, 0), (INTERVAL, 9)), KnownBase(4, 5000))
    for frames, repeats in ((2, 2), (2, 4), (4, 4), (5, 8), (8, 8)):
        with pytest.raises(BitstreamError, match=f"got {frames} frames, {repeats} repeats"):
            _decoded(_code((DISTANCE, 0), (4, 4), (3, frames - 1), (REPEATS, 1), (3, repeats - 1)), None)
    for frames, distance in ((3, 2), (8, 7), (5, 4), (8, 1)):
        with pytest.raises(BitstreamError, match=f"got {frames} frames, 0 repeats and a base {distance} back"):
            _decoded(_code((DISTANCE, distance), (QUALITY, 0), (3, frames - 1), (REPEATS, 0)), base)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=12), st.integers(0, 15), st.integers(0, 65_535))
def test_fuzz(data: bytes, quality: int, elapsed_ms: int) -> None:
    """Any bytes are what the encoder makes of what they decode to, or are refused."""
    base = KnownBase(quality, elapsed_ms)
    try:
        head = _decoded(data, base)
    except BitstreamError:
        return
    assert _encoded(head, base if head.distance else None) == data
