"""Render the sample clip: ``python -m adasr.sample.render [OUT.mp4]``. Needs scikit-image (the extra ``dev``)."""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from adasr.colour import YuvWriter, tag_colour
from adasr.partial_file import partial_file
from adasr.sample import SAMPLE_CLIP_NAME
from adasr.sample.performance import PERIOD_S, performance_at
from adasr.sample.portrait import FRAME_PX, PosablePortrait

FRAME_RATE = 25
CRF = 20


def render_frames() -> Iterator[NDArray[np.uint8]]:
    """Render the clip's frames in order, uint8 [512, 512, 3] RGB each."""
    portrait = PosablePortrait(astronaut())
    for index in range(round(PERIOD_S * FRAME_RATE)):
        yield portrait.render(performance_at(index / FRAME_RATE))


def write_clip(path: Path) -> None:
    """Render the clip into an mp4 file that appears under its name only when it is complete.

    H.264 without B-frames, so that every reader counts the same frames at the same times.
    """
    options = {"crf": str(CRF), "preset": "veryslow", "bf": "0"}
    yuv = YuvWriter()
    with partial_file(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=options)
        stream.width = stream.height = FRAME_PX
        stream.pix_fmt = "yuv420p"
        tag_colour(stream.codec_context)
        for index, picture in enumerate(render_frames()):
            frame = yuv.write(picture)
            frame.pts = index
            frame.time_base = Fraction(1, FRAME_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def main() -> None:
    """Read the arguments and render."""
    parser = argparse.ArgumentParser(description="Render the sample clip from scikit-image's astronaut.")
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).with_name(SAMPLE_CLIP_NAME))
    write_clip(parser.parse_args().out)


if __name__ == "__main__":
    main()
