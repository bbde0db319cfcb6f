"""Super-resolved twins: the same frames and square of a sharper copy, the second training pair of the paper's 2.2."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from adasr_core.geometry import SquareCrop, extract_crop
from training.prepare.clip_writer import write_clip
from training.prepare.cut import CutClip
from training.prepare.video_source import Picture, VideoSource, VideoSourceError, open_source

_SAME_ASPECT = 0.01


def open_twin(path: str, video: VideoSource) -> VideoSource:
    """The super-resolved video. Raises VideoSourceError when it is not of the video's proportions."""
    twin = open_source(Path(path))
    expected = video.height_px * twin.width_px / video.width_px
    if abs(twin.height_px - expected) > max(2.0, _SAME_ASPECT * expected):
        raise VideoSourceError(
            f"{path}: got {twin.width_px}x{twin.height_px}, expected the proportions of the video that it belongs to, "
            f"{video.width_px}x{video.height_px}; make it again from this video"
        )
    return twin


def cut_twin(
    twin: VideoSource, video: VideoSource, clip: CutClip, crop: SquareCrop, *, size_px: int, out: Path
) -> str | None:
    """Cut the frames of `clip` from a super-resolved video of the same frames, as a silent clip.

    Returns:
        None, or what does not fit.
    """
    scale = twin.width_px / video.width_px
    scaled = SquareCrop(crop.centre_x_px * scale, crop.centre_y_px * scale, crop.size_px * scale)
    half_s = 1 / (2 * video.frame_rate)
    written = 0
    with write_clip(out, size_px=size_px, frame_rate=video.frame_rate) as writer:
        for frame, time_s in zip(_near(twin, clip, half_s), clip.times_s, strict=False):
            if abs(frame[0] - time_s) > half_s:
                break
            writer.write(extract_crop(frame[1], scaled, size_px), time_s - clip.times_s[0])
            written += 1
    if written == len(clip.times_s):
        return None
    out.unlink()
    return f"{twin.path}: frame {written} after {float(clip.times_s[0]):.2f} s is not at the time of the video's own"


def _near(twin: VideoSource, clip: CutClip, half_s: Fraction) -> Iterator[tuple[Fraction, Picture]]:
    start_s = max(clip.times_s[0] - half_s, Fraction(0))
    for frame in twin.frames(start_s, clip.times_s[-1] + half_s):
        yield frame.time_s, frame.picture()
