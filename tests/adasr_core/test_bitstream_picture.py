"""Reference pictures: quality, refusal of everything but plain stills of the right size."""

from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adasr_core.bitstream.avif_still import coded_size
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.picture import decode_picture, encode_picture


def _picture(side_px: int) -> npt.NDArray[np.uint8]:
    """Smooth colours with a soft disc."""
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px
    disc = 1 / (1 + np.exp(40 * (np.hypot(x - 0.5, y - 0.5) - 0.3)))
    planes = np.stack((x * 200 + 30 * disc, y * 150 + 60 * disc, 120 + 80 * disc * x), axis=-1)
    return planes.round().astype(np.uint8)


@cache
def _still(side_px: int = 64, quality: int = 60) -> bytes:
    return encode_picture(_picture(side_px), quality)


def _psnr(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.mark.parametrize("side_px", [16, 64, 250, 512])
def test_round_trip(side_px: int) -> None:
    data = _still(side_px)
    decoded = decode_picture(data, side_px)
    assert decoded.dtype == np.uint8
    assert _psnr(decoded, _picture(side_px)) > 34
    assert coded_size(data) == (side_px, side_px)


def test_quality_trades_bytes_for_fidelity() -> None:
    low, high = _still(256, 20), _still(256, 90)
    assert len(low) < len(high)
    assert _psnr(decode_picture(low, 256), _picture(256)) < _psnr(decode_picture(high, 256), _picture(256))


def test_another_size_is_refused() -> None:
    with pytest.raises(BitstreamError, match="picture"):
        decode_picture(_still(64), 512)


def test_a_still_that_hides_a_larger_picture_is_refused_before_decoding() -> None:
    bomb = bytearray(_still(1024))
    at = bomb.index(b"ispe") + 8
    bomb[at : at + 8] = struct.pack(">II", 64, 64)
    with Image.open(io.BytesIO(bytes(bomb))) as image:
        assert image.size == (64, 64)
    with pytest.raises(BitstreamError, match=r"AV1 data of \(1024, 1024\)"):
        decode_picture(bytes(bomb), 64)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture at all",
        _saved(Image.new("RGB", (64, 64)), "PNG"),
        _saved(Image.new("RGB", (64, 64)), "JPEG"),
        _saved(Image.new("RGBA", (64, 64), (1, 2, 3, 4)), "AVIF"),
        _saved(Image.new("RGB", (64, 32)), "AVIF"),
        _saved(
            Image.new("RGB", (64, 64)), "AVIF", save_all=True, append_images=[Image.new("RGB", (64, 64), (255, 0, 0))]
        ),
    ],
    ids=["empty", "text", "png", "jpeg", "alpha", "oblong", "sequence"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError, match="picture"):
        decode_picture(data, 64)


def test_every_truncation() -> None:
    data = _still(16)
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="picture"):
            decode_picture(data[:length], 16)


@settings(max_examples=400)
@given(flips=st.lists(st.tuples(st.integers(0, len(_still(16)) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bytes_decode_or_are_refused(flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(_still(16))
    for at, mask in flips:
        damaged[at] ^= mask
    try:
        decoded = decode_picture(bytes(damaged), 16)
    except BitstreamError:
        return
    assert decoded.shape == (16, 16, 3)


@given(st.binary(max_size=200))
def test_size_fuzz(noise: bytes) -> None:
    still = _still(16)
    for data in (noise, still[:24] + noise, still[:60] + noise + still[60:], still[:-40] + noise):
        try:
            width, height = coded_size(data)
        except BitstreamError:
            continue
        assert width >= 1
        assert height >= 1


def test_caller_mistakes() -> None:
    picture = _picture(32)
    with pytest.raises(ValueError, match="picture"):
        encode_picture(picture[:16], 50)
    with pytest.raises(ValueError, match="picture"):
        encode_picture(_picture(8), 50)
    with pytest.raises(ValueError, match="quality"):
        encode_picture(picture, 0)
    with pytest.raises(ValueError, match="speed"):
        encode_picture(picture, 50, speed=11)


def test_a_picture_that_will_not_fit_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="lower the quality"):
        encode_picture(noise, 100, speed=10)
