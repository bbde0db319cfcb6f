"""Frames of the sample clip in memory, for measurements."""

from itertools import islice

from adasr.colour import RgbImage
from adasr.sample import sample_clip_path
from adasr.video_file import open_video


def sample_pictures(count: int) -> list[RgbImage]:
    """Decode frames spread over the sample clip, the first one first.

    Args:
        count: how many, at least 1; every fourth frame of the clip, as far as it goes.

    Returns:
        uint8 [512, 512, 3] RGB each.
    """
    return [frame.image for frame in islice(open_video(sample_clip_path()).frames(), 0, 4 * count, 4)]
