"""What an ``.akc`` file holds, without decoding it."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from adasr_core.bitstream import TICKS_PER_SECOND, AkcFile, AkcSizes, BitstreamError, read_akc


@dataclass(frozen=True, slots=True)
class AkcSummary:
    """Figures of one file.

    duration_s: from the first frame to the end of the last, which lasts one frame at the average rate.
    sizes: bytes by kind, record heads included. audio_codec: FFmpeg's name, None without sound.
    """

    codec_id: str
    model: str
    frame_px: int
    frame_rate: Fraction
    frames: int
    duration_s: float
    references: int
    sizes: AkcSizes
    audio_codec: str | None

    @classmethod
    def of(cls, file: AkcFile) -> "AkcSummary":
        """Sum up a file that was read."""
        ticks = file.pts_ticks
        rate = Fraction(*file.header.frame_rate)
        return cls(
            codec_id=file.header.codec_id,
            model=file.header.model,
            frame_px=file.header.frame_px,
            frame_rate=rate,
            frames=file.header.frames,
            duration_s=float(Fraction(ticks[-1] - ticks[0], TICKS_PER_SECOND) + 1 / rate),
            references=len(file.references),
            sizes=file.sizes,
            audio_codec=file.audio.stream.codec_name if file.audio else None,
        )

    @property
    def video_bytes(self) -> int:
        """Everything but the sound."""
        return self.sizes.total - self.sizes.audio

    @property
    def motion_bytes_per_frame(self) -> float:
        """Mean size of a frame's motion, record head included."""
        return self.sizes.motion / self.frames

    def kbps(self, size_bytes: int) -> float:
        """Kilobits a second that so many bytes make over the clip's duration."""
        return size_bytes * 8 / self.duration_s / 1000

    def to_json(self) -> dict[str, object]:
        """The figures under the names of ``--json``."""
        return {
            "model": self.model,
            "codec_id": self.codec_id,
            "frame_px": self.frame_px,
            "fps": round(float(self.frame_rate), 3),
            "frames": self.frames,
            "duration_s": round(self.duration_s, 3),
            "references": self.references,
            "reference_bytes": self.sizes.references,
            "motion_bytes": self.sizes.motion,
            "header_bytes": self.sizes.header + self.sizes.index,
            "audio_bytes": self.sizes.audio,
            "total_bytes": self.sizes.total,
            "audio_codec": self.audio_codec,
            "motion_bytes_per_frame": round(self.motion_bytes_per_frame, 2),
            "motion_kbps": round(self.kbps(self.sizes.motion), 3),
            "video_kbps": round(self.kbps(self.video_bytes), 3),
        }

    def lines(self) -> list[str]:
        """The figures for a person, one line each."""
        sizes = self.sizes
        rows = [
            ("model", f"{self.model}, codec id {self.codec_id}"),
            ("video", f"{self.frames} frames of {self.frame_px}x{self.frame_px}, {self.duration_s:.2f} s, "
             f"{float(self.frame_rate):.6g} frames/s"),
            ("references", f"{self.references}, {sizes.references} bytes"),
            ("motion", f"{sizes.motion} bytes, {self.motion_bytes_per_frame:.1f} bytes a frame, "
             f"{self.kbps(sizes.motion):.2f} kbit/s"),
            ("header, index", f"{sizes.header + sizes.index} bytes"),
            ("video in all", f"{self.video_bytes} bytes, {self.kbps(self.video_bytes):.2f} kbit/s"),
            ("audio", f"{self.audio_codec}, {sizes.audio} bytes, {self.kbps(sizes.audio):.2f} kbit/s"
             if self.audio_codec else "none"),
        ]  # fmt: skip
        return [f"{name:<14} {text}" for name, text in rows]


def open_akc(path: Path) -> AkcFile:
    """Read and check an ``.akc`` file.

    Raises:
        BitstreamError: it is none, or damaged; the message names the file.
        OSError: it cannot be read.
    """
    try:
        return read_akc(path)
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {error}") from error
