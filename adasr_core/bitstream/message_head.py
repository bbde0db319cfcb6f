"""What a motion message says before its levels: base, quality, frames, repeats and times.

In this order, all in the arithmetic code; frequencies add up to 16384:

    base distance  one of 64 symbols: 0 none (496), 1..15 (864 each), 16..63 (61 each)
    quality        with a base: 0 = the base's (16128), 1 = another one (256); then, or without a base: 4 raw bits
    frames - 1     3 raw bits
    repeats        with more than one frame: 0 = none (15872), 1 = some (512), then repeats - 1 in 3 raw bits
    times          for every frame but the newest, newest first: the interval to the frame after it, as the difference
                   from what is expected: -8..8 are the symbols 0..16, 17 is the escape, then the interval in 10 bits

The expected interval is 40 ms without a base, else the time since the base over the distance (rounded down, 1 to
1023); after the first interval it is the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adasr_core.bitstream.entropy import Decoder, Encoder, FrequencyTable
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.prediction import MAX_DISTANCE

MAX_INTERVAL_MS = 1023
_EXPECTED_INTERVAL_MS = 40
_NEAR_MS = 8
_INTERVAL_BITS = 10
_COUNT_BITS = 3

_DISTANCE = FrequencyTable.from_frequencies([496] + [864] * 15 + [61] * 48)
_QUALITY = FrequencyTable.from_frequencies([16128, 256])
_REPEATS = FrequencyTable.from_frequencies([15872, 512])
_INTERVAL = FrequencyTable.from_frequencies(
    [40, 40, 40, 40, 120, 250, 700, 2400, 9000, 2400, 700, 250, 120, 40, 40, 40, 40, 124]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHead:
    """What is said before the levels.

    distance: of the base, 1..63, or 0. quality: 0..15. repeats: how many of the oldest frames were sent before.
    intervals_ms: from each frame but the newest to the frame after it, newest first, 1..1023; one less than frames.
    """

    distance: int
    quality: int
    repeats: int
    intervals_ms: tuple[int, ...]

    @property
    def frames(self) -> int:
        """Number of frames, 1 to 8."""
        return len(self.intervals_ms) + 1


@dataclass(frozen=True, slots=True)
class KnownBase:
    """What the head needs to know of a base. quality: 0..15. elapsed_ms: from its capture to the newest frame's."""

    quality: int
    elapsed_ms: int


def encode_head(encoder: Encoder, head: MessageHead, base: KnownBase | None) -> None:
    """Add a head; `base` is None exactly when its distance is 0."""
    encoder.encode(head.distance, _DISTANCE)
    if base is not None:
        encoder.encode(int(head.quality != base.quality), _QUALITY)
    if base is None or head.quality != base.quality:
        encoder.encode_bits(head.quality, 4)
    encoder.encode_bits(head.frames - 1, _COUNT_BITS)
    if head.frames > 1:
        encoder.encode(int(head.repeats > 0), _REPEATS)
        if head.repeats:
            encoder.encode_bits(head.repeats - 1, _COUNT_BITS)
    expected = _expected_interval_ms(head.distance, base)
    for interval_ms in head.intervals_ms:
        difference = interval_ms - expected
        if -_NEAR_MS <= difference <= _NEAR_MS:
            encoder.encode(difference + _NEAR_MS, _INTERVAL)
        else:
            encoder.encode(2 * _NEAR_MS + 1, _INTERVAL)
            encoder.encode_bits(interval_ms, _INTERVAL_BITS)
        expected = interval_ms


def decode_head(decoder: Decoder, find_base: Callable[[int], KnownBase]) -> MessageHead:
    """Inverse of `encode_head`; `find_base` is asked for the base at a distance, and raises when there is none.

    Raises:
        BitstreamError: no head that `encode_head` makes.
    """
    distance = decoder.decode(_DISTANCE)
    base = find_base(distance) if distance else None
    if base is not None and not decoder.decode(_QUALITY):
        quality = base.quality
    else:
        quality = decoder.decode_bits(4)
        if base is not None and quality == base.quality:
            raise BitstreamError("motion message quality: the base's, said in full; drop the message")
    frames = decoder.decode_bits(_COUNT_BITS) + 1
    repeats = decoder.decode_bits(_COUNT_BITS) + 1 if frames > 1 and decoder.decode(_REPEATS) else 0
    if repeats >= frames or (distance and distance < frames):
        raise BitstreamError(
            f"motion message: got {frames} frames, {repeats} repeats and a base {distance} back, expected fewer "
            f"repeats than frames and a base at least {frames} back; drop the message"
        )
    intervals: list[int] = []
    expected = _expected_interval_ms(distance, base)
    for _ in range(frames - 1):
        expected = _decode_interval_ms(decoder, expected)
        intervals.append(expected)
    return MessageHead(distance=distance, quality=quality, repeats=repeats, intervals_ms=tuple(intervals))


def _decode_interval_ms(decoder: Decoder, expected: int) -> int:
    symbol = decoder.decode(_INTERVAL)
    if symbol <= 2 * _NEAR_MS:
        interval_ms = expected + symbol - _NEAR_MS
    else:
        interval_ms = decoder.decode_bits(_INTERVAL_BITS)
        if abs(interval_ms - expected) <= _NEAR_MS:
            raise BitstreamError(f"motion message interval: {interval_ms} ms escaped in vain; drop the message")
    if not 1 <= interval_ms <= MAX_INTERVAL_MS:
        raise BitstreamError(f"motion message interval: got {interval_ms} ms, expected 1..{MAX_INTERVAL_MS}")
    return interval_ms


def _expected_interval_ms(distance: int, base: KnownBase | None) -> int:
    if base is None:
        return _EXPECTED_INTERVAL_MS
    return min(max(base.elapsed_ms // distance, 1), MAX_INTERVAL_MS)


assert _DISTANCE.symbols - 1 == MAX_DISTANCE
