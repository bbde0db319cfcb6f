"""The sample clip that travels with the package: a talking portrait, 512x512, 25 fps, 8 s, without sound.

``python -m adasr.sample.render`` makes it from scikit-image's ``astronaut`` (a NASA portrait in the public domain).
"""

from pathlib import Path

SAMPLE_CLIP_NAME = "portrait.mp4"


def sample_clip_path() -> Path:
    """Find the sample clip.

    Raises:
        FileNotFoundError: the installation lacks it.
    """
    path = Path(__file__).with_name(SAMPLE_CLIP_NAME)
    if not path.is_file():
        raise FileNotFoundError(f"sample clip {path}: expected the clip that the package ships, found none; reinstall")
    return path


__all__ = ["SAMPLE_CLIP_NAME", "sample_clip_path"]
