"""The codec's own damage to a key frame: what the receiver's encoder network will really be given.

    512 px -> AVIF at a quality that we send -> 512 px
    512 px -> 256 px (area) -> AVIF -> 256 px -> 512 px (bicubic)        the small first picture

AVIF runs on the CPU, picture by picture, through the very functions that a call uses. They need Pillow, which a bare
GPU machine has not; there, `KeyFrameCoder.JPEG` stands in, batched on the device at the JPEG quality that costs as much
PSNR. Which of the two runs is the configuration's choice and never this module's: JPEG rings where AVIF smooths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from training.degradation.canvas import Canvas
from training.degradation.draw import SampleRandom, check_pictures, check_probability, check_range, sample_seeds
from training.degradation.jpeg import jpeg
from training.degradation.resize import ResizeMethod, resize

# AVIF quality (encode_picture, speed 8) and the JPEG quality (4:2:0) of equal PSNR: mean over the first frames of eight
# talking heads at 512x512; docs/losses.md has the table.
_EQUAL_JPEG = ((10, 14), (20, 20), (30, 27), (40, 38), (50, 58), (60, 69), (70, 78), (80, 86), (90, 91))


class KeyFrameCoder(StrEnum):
    """Which coder damages the key frame."""

    AVIF = "avif"
    JPEG = "jpeg"


@dataclass(frozen=True, kw_only=True, slots=True)
class CodecConfig:
    """Which key frames are sent."""

    coder: KeyFrameCoder = KeyFrameCoder.AVIF
    """AVIF needs Pillow; JPEG needs nothing and is a substitute."""
    quality: tuple[int, int] = (25, 60)
    """AVIF quality at full size: 30 for the first picture of a call, 40 for later ones, and what lies around them."""
    small: float = 0.2
    """Probability of a small picture."""
    small_share: float = 0.5
    """Its side as a share of the frame's: 512 -> 256."""
    small_quality: tuple[int, int] = (40, 70)
    """AVIF quality of small pictures."""

    def __post_init__(self) -> None:
        """Raises ValueError when a probability, a size or a quality makes no sense."""
        check_probability("small", self.small)
        check_range("quality", self.quality, 1, 100)
        check_range("small_quality", self.small_quality, 1, 100)
        if not 0.1 <= self.small_share <= 1:
            raise ValueError(f"small_share: got {self.small_share}, expected 0.1 to 1")


@dataclass(frozen=True, slots=True)
class CodecDraw:
    """How one key frame is sent: side in pixels and AVIF quality."""

    size_px: int
    quality: int


def draw_codec(config: CodecConfig, size_px: int, seed: int) -> CodecDraw:
    """The parameters of the sample with this seed."""
    rng = SampleRandom(seed)
    small = rng.chance(config.small)
    low, high = config.small_quality if small else config.quality
    side = max(16, round(size_px * config.small_share)) if small else size_px
    return CodecDraw(side, rng.choose(range(low, high + 1)))


class CodecDegradation:
    """Key frames as they arrive."""

    def __init__(self, config: CodecConfig = CodecConfig()) -> None:
        """Build with `config`.

        Raises:
            ValueError: it asks for AVIF and this machine cannot write it.
        """
        self.config = config
        if config.coder is KeyFrameCoder.AVIF:
            _require_avif()

    @torch.no_grad()
    def __call__(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Code and decode pictures [B, 3, S, S], RGB in [0, 1]: the same shape, float32, on the same device.

        `generator` (on the CPU) is advanced by one number a picture.

        Raises:
            ValueError: pictures of another shape.
        """
        check_pictures(pictures)
        size = pictures.shape[-1]
        return self.apply(pictures, [draw_codec(self.config, size, s) for s in sample_seeds(len(pictures), generator)])

    @torch.no_grad()
    def apply(self, pictures: Tensor, draws: Sequence[CodecDraw]) -> Tensor:
        """Code and decode pictures [B, 3, S, S] by these parameters, one for each."""
        size = pictures.shape[-1]
        with torch.autocast(pictures.device.type, enabled=False):
            sent = resize(Canvas.of(pictures.float()), [d.size_px for d in draws], [ResizeMethod.AREA] * len(draws))
            if self.config.coder is KeyFrameCoder.AVIF:
                arrived = _through_avif(sent, draws)
            else:
                arrived = jpeg(sent, [equal_jpeg_quality(d.quality) for d in draws])
            shown = resize(arrived, [size] * len(draws), [ResizeMethod.BICUBIC] * len(draws))
            return shown.pixels[..., :size, :size]


def equal_jpeg_quality(avif_quality: int) -> int:
    """JPEG quality of about the same PSNR as an AVIF quality, on talking heads; held at 14 and 91 beyond 10 and 90."""
    avif, jpeg_qualities = zip(*_EQUAL_JPEG, strict=True)
    return round(float(np.interp(avif_quality, avif, jpeg_qualities)))


def _through_avif(sent: Canvas, draws: Sequence[CodecDraw]) -> Canvas:
    from adasr_core.bitstream.picture import decode_picture, encode_picture

    pixels = sent.pixels.clone()
    for picture, size, draw in zip(pixels, sent.sizes, draws, strict=True):
        inside = picture[:, :size, :size]
        rgb = (inside * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()
        decoded = torch.from_numpy(decode_picture(encode_picture(rgb, draw.quality), size))
        inside.copy_(decoded.permute(2, 0, 1).float() / 255)
    return sent.with_pixels(pixels)


def _require_avif() -> None:
    try:
        from PIL import features

        import adasr_core.bitstream.picture  # noqa: F401

        written = features.check("avif")
    except ImportError as error:
        raise ValueError(
            f"coder: got avif, but {error.name or error} is not installed; install Pillow 11.3 or later, or choose the "
            "coder jpeg, which stands in for it"
        ) from error
    if not written:
        raise ValueError("coder: got avif, but the Pillow here cannot write it; install Pillow's own wheel")
