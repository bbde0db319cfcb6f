"""Make the README's picture: ``python -m adasr.sample.picture OUT.jpg``.

The sample clip goes through the file codec with a single key frame; moments of the source stand above what came back.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from adasr.colour import RgbImage
from adasr.file_codec import EncodeOptions, decode_file, encode_file
from adasr.partial_file import partial_file
from adasr.sample import sample_clip_path
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle, open_bundle
from sender import CropMode

FRAMES = (0, 28, 89, 154)
"""The key frame; turned to one side; blinking; turned to the other side."""
TILE_PX = 256


def make_picture(bundle: ModelBundle) -> RgbImage:
    """Encode, decode and arrange.

    Returns:
        uint8 [2 * 256, 4 * 256, 3] RGB: the source above, the rebuilt frames below.
    """
    source = sample_clip_path()
    with tempfile.TemporaryDirectory() as folder:
        coded, rebuilt = Path(folder, "sample.akc"), Path(folder, "rebuilt.mp4")
        encode_file(source, coded, bundle, EncodeOptions(references=1, crop=CropMode.FULL))
        decode_file(coded, rebuilt, bundle)
        return np.concatenate((_row(source), _row(rebuilt)))


def _row(path: Path) -> RgbImage:
    """The chosen frames of a clip side by side, uint8 [256, 4 * 256, 3]."""
    pictures = {frame.number: frame.image for frame in open_video(path).frames() if frame.number in FRAMES}
    tiles = [Image.fromarray(pictures[number]).resize((TILE_PX, TILE_PX)) for number in FRAMES]
    return np.concatenate([np.asarray(tile, np.uint8) for tile in tiles], axis=1)


def main() -> None:
    """Read the arguments and write the picture."""
    parser = argparse.ArgumentParser(description="Make the README's picture from the sample clip.")
    parser.add_argument("out", type=Path, metavar="OUT.jpg")
    parser.add_argument("--model", default="edge", help="name of a model, or the path of its folder (default: edge)")
    args = parser.parse_args()
    picture = Image.fromarray(make_picture(open_bundle(args.model)))
    with partial_file(args.out) as temporary:
        picture.save(temporary, format="JPEG", quality=88)


if __name__ == "__main__":
    main()
