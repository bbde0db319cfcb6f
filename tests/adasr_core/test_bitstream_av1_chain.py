"""Chains of reference pictures: real SVT-AV1 and dav1d on a real face."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np
import pytest

from adasr_core.bitstream import av1_chain
from adasr_core.bitstream.av1_chain import Av1ChainConfig, Av1ChainDecoder, Av1ChainEncoder, EncoderStalledError
from adasr_core.bitstream.av1_units import frame_unit_size, strip_delimiter
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.picture_quality import psnr_db
from tests.conformance.independent_packets import units_that_follow
from tests.real_model import Image, talking

SIDE = 512
UNITS = 6


def picture(number: int) -> Image:
    """Half a second apart."""
    return talking(12 * number)


@cache
def chain(crf: float = 50) -> tuple[bytes, ...]:
    encoder = Av1ChainEncoder(7, SIDE, Av1ChainConfig(crf=crf))
    return tuple(encoder.encode(picture(number)) for number in range(UNITS))


def test_each_picture_comes_out_of_its_own_unit() -> None:
    decoder = Av1ChainDecoder(SIDE)
    for number, data in enumerate(chain()):
        assert data[:2] == bytes((7, number))
        decoded = decoder.decode(data)
        assert decoded.shape == (SIDE, SIDE, 3)
        assert psnr_db(decoded, picture(number)) > 31
        assert psnr_db(decoded, picture(number)) > psnr_db(decoded, picture(number + 1)) + 3, (
            "this one, not a neighbour"
        )


def test_units_are_far_smaller_than_the_key_unit_and_none_is_blurred() -> None:
    sizes = [len(data) for data in chain()]
    assert sizes[0] < 4000
    assert max(sizes[1:]) < 0.5 * sizes[0]
    decoder = Av1ChainDecoder(SIDE)
    quality = [psnr_db(decoder.decode(data), picture(number)) for number, data in enumerate(chain())]
    assert max(quality[1:]) - min(quality[1:]) < 1.0, "no pyramid of qualities"


def test_a_finer_chain_is_larger_and_better() -> None:
    coarse, fine = chain(), chain(crf=40)
    assert sum(map(len, fine)) > 1.5 * sum(map(len, coarse))
    one, other = Av1ChainDecoder(SIDE), Av1ChainDecoder(SIDE)
    gains = [
        psnr_db(other.decode(b), picture(n)) - psnr_db(one.decode(a), picture(n))
        for n, (a, b) in enumerate(zip(coarse, fine, strict=True))
    ]
    assert min(gains) > 1


def test_a_unit_out_of_order_is_refused_and_the_right_one_still_decodes() -> None:
    decoder = Av1ChainDecoder(SIDE)
    units = chain()
    with pytest.raises(BitstreamError, match="expected a key unit"):
        decoder.decode(units[1])
    decoder.decode(units[0])
    for wrong in (units[2], units[1][:1] + b"\x05" + units[1][2:], b"\x08" + units[1][1:]):
        with pytest.raises(BitstreamError, match="unit 1 of chain 7"):
            decoder.decode(wrong)
    assert decoder.expected == (7, 1)
    assert psnr_db(decoder.decode(units[1]), picture(1)) > 31
    with pytest.raises(BitstreamError, match="order"):
        decoder.decode(units[1])


def test_a_new_chain_begins_with_its_key_unit_at_any_time() -> None:
    decoder = Av1ChainDecoder(SIDE)
    for data in chain()[:3]:
        decoder.decode(data)
    encoder = Av1ChainEncoder(8, SIDE)
    first, second = encoder.encode(picture(3)), encoder.encode(picture(4))
    assert psnr_db(decoder.decode(first), picture(3)) > 31
    with pytest.raises(BitstreamError, match="unit 1 of chain 8"):
        decoder.decode(chain()[3])
    assert psnr_db(decoder.decode(second), picture(4)) > 31


def test_a_unit_that_fails_ends_the_chain() -> None:
    decoder = Av1ChainDecoder(SIDE)
    units = chain()
    decoder.decode(units[0])
    generator = np.random.default_rng(4)
    noise = units[1][:8] + generator.integers(0, 256, len(units[1]) - 8, dtype=np.uint8).tobytes()
    with pytest.raises(BitstreamError, match="new chain"):
        decoder.decode(noise)
    assert decoder.expected is None
    with pytest.raises(BitstreamError, match="expected a key unit"):
        decoder.decode(units[1])
    decoder.decode(units[0])


def test_every_truncation_is_refused() -> None:
    units = chain()
    for number in (0, 1):
        for length in range(len(units[number])):
            decoder = Av1ChainDecoder(SIDE)
            if number:
                decoder._context = object()  # type: ignore[assignment]  # the form is looked at before this is used
                decoder._chain, decoder._next = 7, 1
            with pytest.raises(BitstreamError):
                decoder.decode(units[number][:length])


def test_damaged_units_give_a_picture_or_an_error_quickly() -> None:
    units = chain()
    generator = np.random.default_rng(5)
    refused = 0
    for trial in range(150):
        decoder = Av1ChainDecoder(SIDE)
        where = trial % 3
        try:
            for number, data in enumerate(units[: where + 2]):
                damaged = bytearray(data)
                if number == where:
                    for _ in range(int(generator.integers(1, 5))):
                        damaged[int(generator.integers(2, len(damaged)))] ^= 1 << int(generator.integers(8))
                began = time.perf_counter()
                decoded = decoder.decode(bytes(damaged))
                assert time.perf_counter() - began < 1.0
                assert decoded.shape == (SIDE, SIDE, 3)
        except BitstreamError:
            refused += 1
    assert refused > 75


def patched_size(data: bytes, width_bits: int, height_bits: int, width: int, height: int) -> bytes:
    """A key unit whose sequence header states another size."""
    unit = data[2:]
    size = unit[1]
    header = int.from_bytes(unit[2 : 2 + size], "big")
    total = 8 * size
    start = 3 + 1 + 1 + 1 + 1 + 5 + 12 + 5
    old_bits = [(header >> total - 1 - i) & 1 for i in range(total)]
    fields = ((width_bits - 1, 4), (height_bits - 1, 4), (width - 1, width_bits), (height - 1, height_bits))
    new = [int(bit) for value, count in fields for bit in f"{value:0{count}b}"]
    bits = old_bits[:start] + new + old_bits[start + 8 + 18 :]
    bits += [0] * (-len(bits) % 8)
    packed = bytes(int("".join(map(str, bits[i : i + 8])), 2) for i in range(0, len(bits), 8))
    return data[:2] + unit[:1] + bytes((len(packed),)) + packed + unit[2 + size :]


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    key = chain()[0]
    assert frame_unit_size(key[2:], key=True) == (SIDE, SIDE)
    assert patched_size(key, 9, 9, 512, 512) == key, "the test writes headers as the encoder does"
    for bomb in (patched_size(key, 16, 16, 65536, 65536), patched_size(key, 10, 9, 1024, 512)):
        decoder = Av1ChainDecoder(SIDE)
        with pytest.raises(BitstreamError, match="size: got"):
            decoder.decode(bomb)
    with pytest.raises(BitstreamError, match="size fields"):
        Av1ChainDecoder(SIDE).decode(patched_size(key, 16, 16, 512, 512))
    with pytest.raises(BitstreamError, match="size: got"):
        Av1ChainDecoder(256).decode(key)


def test_only_the_plain_form_of_a_unit_is_taken() -> None:
    key, unit = chain()[0][2:], chain()[1][2:]
    assert strip_delimiter(b"\x12\x00" + key) == key
    header, frame = key[: 2 + key[1]], key[2 + key[1] :]
    shown_again = bytes((unit[0], 1, 0b1000_0000))
    payload = 1 + next(length for length in range(1, 5) if unit[length] < 0x80)
    hidden = unit[:payload] + bytes((unit[payload] & ~0b0001_0000,)) + unit[payload + 1 :]
    for bad in (
        b"",
        key,  # a key frame in the middle of a chain
        unit + unit,  # two frames
        b"\x12\x00" + unit,  # a temporal delimiter
        header + unit,  # a sequence header in the middle
        shown_again,
        hidden,
        bytes((unit[0] | 0x04,)) + unit[1:],  # an extension
        bytes((unit[0] & ~0x02,)) + unit[1:],  # no size
        bytes((unit[0] | 0x80,)) + unit[1:],  # the forbidden bit
        unit[:1] + b"\xff\xff\xff\xff\xff\x01" + unit[1:],  # an endless size
    ):
        with pytest.raises(BitstreamError):
            frame_unit_size(bad, key=False)
    for bad in (b"", frame, header, header + header + frame, header + unit, frame + header):
        with pytest.raises(BitstreamError):
            frame_unit_size(bad, key=True)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_units_without_content_are_refused(length: int) -> None:
    with pytest.raises(BitstreamError, match="length"):
        Av1ChainDecoder(SIDE).decode(b"\0" * length)


def test_a_unit_above_the_bound_is_refused_unread() -> None:
    with pytest.raises(BitstreamError, match="length"):
        Av1ChainDecoder(SIDE).decode(b"\0" * 262_145)


def test_other_sizes_code_too() -> None:
    for side in (64, 130, 256):
        encoder, decoder = Av1ChainEncoder(0, side), Av1ChainDecoder(side)
        for number in range(2):
            small = np.ascontiguousarray(picture(number)[200 : 200 + side, 150 : 150 + side])
            assert psnr_db(decoder.decode(encoder.encode(small)), small) > 28


@pytest.mark.parametrize("steady", [True, False])
def test_a_chain_goes_on_without_end_and_its_index_goes_round_past_0(
    steady: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 255 comes 1; 0 is the key unit's alone. Steady or a pyramid, every unit is one shown frame.

    Now and then SVT-AV1 stands still for ever (adasr_core.thread_scheduling), more often on a busy machine: then anew.
    """
    monkeypatch.setattr(av1_chain, "_LONGEST_S", 1.0)
    for _ in range(10):
        with suppress(EncoderStalledError):
            _check_a_long_chain(steady)
            return
    pytest.fail("SVT-AV1 stood still in ten chains of ten")


def _check_a_long_chain(steady: bool) -> None:
    encoder = Av1ChainEncoder(3, 64, Av1ChainConfig(crf=60, preset=12, steady=steady))
    decoder = Av1ChainDecoder(64)
    still = np.ascontiguousarray(picture(0)[200:264, 200:264])
    places, quality = [], []
    for number in range(263):
        small = np.roll(still, (number, 2 * number), axis=(0, 1))
        data = encoder.encode(small)
        places.append((data[0], data[1]))
        quality.append(psnr_db(decoder.decode(data), small))
    assert places == [(3, 0), *((3, 1 + number % 255) for number in range(262))]
    assert places[254:259] == [(3, 254), (3, 255), (3, 1), (3, 2), (3, 3)]
    assert units_that_follow(places) == [True] * len(places)
    assert encoder.units == 263
    assert decoder.expected == (3, 8)
    assert min(quality) > 20
    with pytest.raises(BitstreamError, match="unit 8 of chain 3"):
        decoder.decode(data)  # 7 once more


def test_units_are_taken_in_the_order_of_the_document() -> None:
    """The decoder and the independent rule agree about any order of the units of two chains."""
    first, second = chain()[:4], tuple(bytes((8,)) + unit[1:] for unit in chain()[:3])
    generator = np.random.default_rng(6)
    refused = 0
    for _ in range(20):
        units = [(*first, *second)[number] for number in generator.integers(0, 7, 6)]
        decoder = Av1ChainDecoder(SIDE)
        for data, follows in zip(units, units_that_follow([(unit[0], unit[1]) for unit in units]), strict=True):
            if follows:
                assert decoder.decode(data).shape == (SIDE, SIDE, 3)
            else:
                refused += 1
                with pytest.raises(BitstreamError):
                    decoder.decode(data)
    assert refused > 20


def test_a_pyramid_is_smaller_at_even_intervals() -> None:
    """Fewer bytes for the same mean quality; some pictures are finer than others."""

    def coded(config: Av1ChainConfig) -> tuple[int, list[float]]:
        encoder, decoder = Av1ChainEncoder(0, SIDE, config), Av1ChainDecoder(SIDE)
        units = [encoder.encode(picture(number)) for number in range(17)]
        quality = [psnr_db(decoder.decode(data), picture(number)) for number, data in enumerate(units)]
        return sum(map(len, units[1:])), quality[1:]

    even_bytes, even = coded(Av1ChainConfig(crf=48))
    pyramid_bytes, pyramid = coded(Av1ChainConfig(crf=58, steady=False))
    assert pyramid_bytes < 0.85 * even_bytes
    assert np.mean(pyramid) > np.mean(even) - 0.3
    assert np.std(pyramid) > 2 * np.std(even)


def test_crf_goes_in_quarters_and_up_to_70() -> None:
    coarser = [sum(map(len, chain(crf))) for crf in (50, 50.5, 63, 66.5, 70)]
    assert coarser == sorted(coarser, reverse=True)
    assert len(set(coarser)) == 5


def test_an_encoder_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Av1ChainEncoder(0, 64)
    never = threading.Event()

    class Hanging:
        def encode(self, frame: object) -> list[bytes]:
            never.wait()
            return []

    monkeypatch.setattr(av1_chain, "_LONGEST_S", 0.05)
    monkeypatch.setattr(encoder, "_context", Hanging())
    with pytest.raises(EncoderStalledError, match="begin a new chain"):
        encoder.encode(np.ascontiguousarray(picture(0)[200:264, 200:264]))
    never.set()


def test_a_hang_in_a_chain_that_was_quick_is_noticed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six times the slowest unit of the chain, at least 0.6 s; at most what the first units may take."""
    encoder = Av1ChainEncoder(0, 64)
    still = np.ascontiguousarray(picture(0)[200:264, 200:264])
    never = threading.Event()
    for _ in range(4):
        assert encoder._patience_s() == 3.0
        encoder.encode(still)
    assert 0.6 <= encoder._patience_s() <= 3.0
    for slowest_s, patience_s in ((0.02, 0.6), (0.2, 1.2), (0.9, 3.0)):
        monkeypatch.setattr(encoder, "_slowest_s", slowest_s)
        assert encoder._patience_s() == pytest.approx(patience_s)
    monkeypatch.setattr(encoder, "_slowest_s", 0.02)

    class Hanging:
        def encode(self, frame: object) -> list[bytes]:
            never.wait()
            return []

    monkeypatch.setattr(encoder, "_context", Hanging())
    began = time.perf_counter()
    with pytest.raises(EncoderStalledError, match=r"0\.6 s"):
        encoder.encode(still)
    assert time.perf_counter() - began < 2.0
    never.set()


@pytest.mark.parametrize(
    "bad", [{"crf": 0.75}, {"crf": 70.25}, {"crf": float("nan")}, {"preset": 3}, {"key_offset": 1}, {"threads": 0}]
)
def test_a_wrong_setting_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Av1ChainConfig(**bad)


def test_wrong_pictures_and_sizes_are_refused() -> None:
    for chain_number, side in ((256, 512), (0, 63), (0, 65), (0, 4096)):
        with pytest.raises(ValueError, match="got"):
            Av1ChainEncoder(chain_number, side)
    encoder = Av1ChainEncoder(0, 64)
    with pytest.raises(ValueError, match="picture"):
        encoder.encode(np.zeros((64, 64), np.uint8))
    with pytest.raises(ValueError, match="picture"):
        encoder.encode(np.zeros((128, 128, 3), np.uint8))
