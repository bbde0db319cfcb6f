"""What a prepared clip must be like."""

from __future__ import annotations

from dataclasses import asdict, dataclass

FORMAT_VERSION = 1
"""Version of the records and of ``manifest.json``. Raise it when the same settings would give other clips."""

SIZES_PX = (512, 256)
"""Sides of clips, the best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareSettings:
    """How clips are chosen and cut. Lengths in pixels are those of the source, upright and with square pixels."""

    min_seconds: float = 2.0
    """Shorter shots are left out, seconds."""
    max_seconds: float = 20.0
    """Longer shots are cut into pieces of this length, each with its own crop, seconds."""
    min_face_px: float = 80.0
    """Least height of a face, brow to chin, median over the shot."""
    face_share: float = 0.5
    """Height of the face as a share of the crop's side where its movement and the picture leave room, 0.2 to 0.9."""
    least_face_share: float = 0.35
    """The crop may be widened until the face has only this share of its side, where that gives 512x512, 0.1 to 0.9."""
    margin: float = 1.15
    """The crop's side is at least this many times the extent of all places of the face in the shot, 1 to 3."""
    travel: float = 2.0
    """A shot ends where the extent of all places of the face grows beyond this many heights of the face, 1 to 5."""
    max_enlargement: float = 1.25
    """A clip is 512x512 where that enlarges the source at most so much, else 256x256, else the shot is left out."""
    searches_per_s: float = 8.0
    """How often faces are searched for while shots are chosen; landmarks are found in every frame of a clip, 1/s."""
    min_confidence: float = 0.5
    """Least confidence of a found face, 0 to 1."""
    audio: bool = True
    """Whether clips carry the sound of their video."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name, least, most in (
            ("min_seconds", 0.2, 3600.0),
            ("max_seconds", 0.4, 3600.0),
            ("min_face_px", 16.0, 4096.0),
            ("face_share", 0.2, 0.9),
            ("least_face_share", 0.1, 0.9),
            ("margin", 1.0, 3.0),
            ("travel", 1.0, 5.0),
            ("max_enlargement", 1.0, 4.0),
            ("searches_per_s", 1.0, 240.0),
            ("min_confidence", 0.0, 1.0),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name}: got {value}, expected {least:g} to {most:g}")
        if self.least_face_share > self.face_share:
            raise ValueError(
                f"least_face_share: got {self.least_face_share:g}, expected at most face_share, {self.face_share:g}"
            )
        if self.max_seconds < 2 * self.min_seconds:
            raise ValueError(
                f"max_seconds: got {self.max_seconds:g} with min_seconds {self.min_seconds:g}; expected at least twice "
                "as much, so that a long shot can be cut into whole pieces"
            )

    def clip_size_px(self, crop_px: float) -> int | None:
        """Side of the clip cut from a square of `crop_px` source pixels: 512, 256, or None where it is too small."""
        return next((size for size in SIZES_PX if crop_px * self.max_enlargement >= size), None)

    def as_json(self) -> dict[str, float | bool]:
        """Every field by name, for records and the manifest."""
        return asdict(self)
