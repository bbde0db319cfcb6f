"""The batched JPEG against libjpeg, through OpenCV."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from training.degradation.canvas import Canvas
from training.degradation.jpeg import _CHROMA_TABLE, _LUMA_TABLE, compress, jpeg, quantisation_table


def portrait(size: int = 256) -> np.ndarray:
    """uint8 [size, size, 3], RGB."""
    return np.ascontiguousarray(data.astronaut()[:size, 96 : 96 + size])


def libjpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """RGB of a JPEG file of this quality, 4:2:0."""
    flags = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    _, file = cv2.imencode(".jpg", rgb[..., ::-1], flags)
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1]


def tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_result_is_libjpegs(quality: int) -> None:
    """43 dB apart or better, and equally far from the source: what is left are roundings that fall the other way."""
    source = tensor(portrait())
    made, expected = compress(source, [quality]), tensor(libjpeg(portrait(), quality))
    assert psnr(made, expected) > 43
    assert psnr(made, source) == pytest.approx(psnr(expected, source), abs=0.15)
    assert psnr(made, expected) > psnr(expected, source) + 6


def test_grey_picture_is_closer_still() -> None:
    grey = np.repeat(portrait()[..., 1:2], 3, axis=2)
    made, expected = compress(tensor(grey), [50]), tensor(libjpeg(grey, 50))
    assert psnr(made, expected) > 51
    assert (made != expected).float().mean() < 0.08


def test_tables_are_libjpegs() -> None:
    """Read from the files that libjpeg writes: after each DQT marker, in zigzag order."""
    for quality in (10, 49, 50, 90, 100):
        _, file = cv2.imencode(".jpg", portrait(64), [cv2.IMWRITE_JPEG_QUALITY, quality])
        stream = file.tobytes()
        zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
        at = stream.index(b"\xff\xdb")
        for table in (_LUMA_TABLE, _CHROMA_TABLE):
            written = stream[at + 5 : at + 69]
            assert [int(v) for v in quantisation_table(table, quality)[zigzag]] == list(written)
            at = stream.find(b"\xff\xdb", at + 1)


def test_each_picture_has_its_own_quality() -> None:
    batch = tensor(portrait(64)).repeat(3, 1, 1, 1)
    made = jpeg(Canvas.of(batch), [20, None, 90]).pixels
    assert torch.equal(made[1], batch[1])
    torch.testing.assert_close(made[:1], compress(batch[:1], [20]))
    torch.testing.assert_close(made[2:], compress(batch[:1], [90]))
    assert psnr(made[0], batch[0]) < psnr(made[2], batch[2]) - 5


def test_picture_of_odd_size_is_padded_as_libjpeg_pads_it() -> None:
    source = portrait(128)[:75, :75]
    made = jpeg(Canvas.of(tensor(source)), [60]).pixels[..., :75, :75]
    assert psnr(made, tensor(libjpeg(source, 60))) > 45


def test_flat_picture_survives() -> None:
    flat = torch.full((1, 3, 32, 32), 128 / 255)
    torch.testing.assert_close(compress(flat, [10]), flat)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        compress(torch.zeros(1, 3, 24, 24), [50])
    with pytest.raises(ValueError, match=r"quality: got 0, expected 1\.\.100"):
        compress(torch.zeros(1, 3, 16, 16), [0])
