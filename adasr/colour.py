"""Colour at the file boundary: decoded video to RGB and RGB to the YUV that is stored, exact to rounding.

swscale's fast paths darken a picture by about one level and repeat chroma samples instead of interpolating them, so
accurate rounding and full chroma are asked for in both directions. Chroma is reduced by averaging 2x2 pixels, which
returns flat colours exactly, and enlarged with the cubic filter.

Written files carry the BT.601 matrix, as SD pictures do, and say so. A reader that obeys the tag and one that ignores
it (BT.601 is what players assume below 720 lines, and what OpenCV 4 always assumes) then see the same colours.
"""

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

RgbImage = npt.NDArray[np.uint8]

_EXACT = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
_ENLARGE_CHROMA = Interpolation.BICUBIC | _EXACT
_REDUCE_CHROMA = Interpolation.AREA | _EXACT

# AVColorSpace of H.273: what a decoded frame says about its matrix.
_MATRIX_UNSPECIFIED = 2
_MATRIX_BT601_525 = 6
# Without a tag, players take pictures of at least this many lines for BT.709 and smaller ones for BT.601.
_HD_LINES = 720


class RgbReader:
    """Turns decoded frames of one video into RGB. Keeps swscale's tables, so use one for each video."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def read(self, frame: av.VideoFrame, width_px: int, height_px: int) -> RgbImage:
        """Convert a frame to uint8 [height_px, width_px, 3] RGB, full range, resizing it where its size differs.

        The frame's own matrix and range are obeyed; where it names none, size decides as players do.
        """
        untagged = frame.colorspace == _MATRIX_UNSPECIFIED
        matrix = Colorspace.ITU709 if untagged and frame.height >= _HD_LINES else None
        rgb = self._reformatter.reformat(
            frame,
            width=width_px,
            height=height_px,
            format="rgb24",
            src_colorspace=matrix,
            dst_color_range=ColorRange.JPEG,
            interpolation=_ENLARGE_CHROMA,
        )
        image: npt.NDArray[Any] = rgb.to_ndarray()
        return image


class YuvWriter:
    """Turns RGB pictures into tagged yuv420p frames. Keeps swscale's tables, so use one for each video."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def write(self, picture: RgbImage) -> av.VideoFrame:
        """Convert uint8 [H, W, 3] RGB, H and W even, to a yuv420p frame, BT.601 matrix, limited range."""
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation=_REDUCE_CHROMA,
        )


def tag_colour(context: VideoCodecContext) -> None:
    """Write into an encoder's stream what `YuvWriter` produces."""
    context.colorspace = _MATRIX_BT601_525
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
