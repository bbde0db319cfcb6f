"""Reference pictures as AVIF stills."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from adasr_core.bitstream.avif_still import coded_size
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.packets import MAX_FRAME_PX, MAX_PICTURE_BYTES

DEFAULT_SPEED = 8
"""The encoder's speed, 0 (slow, small) to 10: 8 takes half the time of 7 for 1 to 2 % more bytes."""

_PILLOW_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    EOFError,
    OverflowError,
    MemoryError,
    Image.DecompressionBombError,
)


def encode_picture(rgb: npt.NDArray[np.uint8], quality: int, *, speed: int = DEFAULT_SPEED) -> bytes:
    """Code a square picture as AVIF, 4:2:0.

    rgb: uint8 [S, S, 3], S in 16..2048. quality: 1 (small) to 100. speed: 0 to 10.

    Raises:
        ValueError: shape, type, quality or speed out of range, or the result is above 262144 bytes.
        OSError: Pillow's AVIF encoder fails, or writes a form that `decode_picture` refuses.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape[0] != rgb.shape[1]:
        raise ValueError(f"picture: got {rgb.dtype} {rgb.shape}, expected uint8 [S, S, 3]")
    if not 16 <= rgb.shape[0] <= MAX_FRAME_PX:
        raise ValueError(f"picture: got a side of {rgb.shape[0]} px, expected 16..{MAX_FRAME_PX}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: got {quality}, expected 1..100")
    if not 0 <= speed <= 10:
        raise ValueError(f"speed: got {speed}, expected 0..10")
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.save(buffer, format="AVIF", quality=quality, speed=speed, subsampling="4:2:0")
    data = buffer.getvalue()
    if len(data) > MAX_PICTURE_BYTES:
        raise ValueError(f"picture: got {len(data)} bytes, expected at most {MAX_PICTURE_BYTES}; lower the quality")
    try:
        coded_size(data)
    except BitstreamError as error:
        raise OSError(
            f"Pillow's AVIF encoder does not write plain stills ({error}); install Pillow's own wheel"
        ) from error
    return data


def decode_picture(data: bytes, frame_px: int) -> npt.NDArray[np.uint8]:
    """Decode an AVIF still of exactly frame_px x frame_px. Returns uint8 [frame_px, frame_px, 3], RGB.

    Raises:
        BitstreamError: the bytes are no such still; both sizes that it declares are looked at before anything is
            decoded.
    """
    if not 1 <= len(data) <= MAX_PICTURE_BYTES:
        raise BitstreamError(f"picture length: got {len(data)} bytes, expected 1..{MAX_PICTURE_BYTES}")
    coded = coded_size(data)
    if coded != (frame_px, frame_px):
        raise BitstreamError(f"picture: got AV1 data of {coded}, expected {(frame_px, frame_px)}")
    try:
        with Image.open(io.BytesIO(data), formats=("AVIF",)) as image:
            frames = int(getattr(image, "n_frames", 1))
            if image.size != (frame_px, frame_px) or image.mode != "RGB" or frames != 1:
                raise BitstreamError(
                    f"picture: got {frames} frame(s) of {image.size} {image.mode}, "
                    f"expected one of {(frame_px, frame_px)} RGB"
                )
            pixels = np.array(image, dtype=np.uint8)
    except BitstreamError:
        raise
    except _PILLOW_ERRORS as error:
        raise BitstreamError(f"picture: not a readable AVIF still ({error}); ask for the reference again") from error
    if pixels.shape != (frame_px, frame_px, 3):
        raise BitstreamError(f"picture: decoded to {pixels.shape}, expected {(frame_px, frame_px, 3)}")
    return pixels
