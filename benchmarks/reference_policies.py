"""``python -m benchmarks.reference_policies CLIPS --kbps 10,15``: kinds of references at equal wire rate.

Every clip goes through the real sender and receiver without a network (`benchmarks.offline_call`), once for each kind
of references and wire rate. What the receiver shows is compared with the source at the full frame rate. All headers
are counted; the first picture is not, so that short clips say what long calls cost.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import MotionCodec
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from adasr_core.landmarks import load_landmarks
from benchmarks.blended_references import BlendingModel
from benchmarks.clip_budget import ClipBudget, ClipBudgetConfig
from benchmarks.display_quality import DisplayQuality, mean_display_quality, measure_display
from benchmarks.offline_call import run_offline_call
from benchmarks.offline_line import OfflineLineConfig
from benchmarks.wire_rate_search import RateTarget
from sender import CropMode, PictureCoding, PictureConfig, SenderConfig, TrackerConfig

_MODEL = "edge"
_BLENDED = "blended"
"""AV1 references, two of them blended."""
_KINDS = (*PictureCoding, _BLENDED)
_PEAK_KBPS = 64.0


@dataclass(frozen=True, slots=True)
class Clip:
    """A square clip. images: uint8 [S, S, 3]. times: of capture, seconds. landmarks: float32 [T, N, 3], -1 to 1."""

    name: str
    images: list[npt.NDArray[np.uint8]]
    times: list[float]
    frame_rate: Fraction
    landmarks: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One kind of references at one rate, means over clips.

    wire_kbps: motion and later references, headers of all layers included. references_per_s: without the first.
    first_bytes: the first picture on the wire.
    """

    references: str
    target_kbps: float
    wire_kbps: float
    references_per_s: float
    first_bytes: float
    quality: DisplayQuality

    def to_json(self) -> dict[str, object]:
        """Figures by name."""
        return {
            "references": self.references,
            "target_kbps": self.target_kbps,
            "wire_kbps": self.wire_kbps,
            "references_per_s": self.references_per_s,
            "first_bytes": self.first_bytes,
            **self.quality.to_json(),
        }


def read_clip(path: Path, frames: int) -> Clip:
    """The first frames of a clip that has its landmarks beside it (``clip.npz``).

    Raises:
        OSError: a file cannot be read.
        ValueError: the clip is not square, or has no frame.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or 25)
        images = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(stream), frames)]
    if not images or images[0].shape[0] != images[0].shape[1]:
        raise ValueError(f"{path}: got {len(images)} frames, expected square ones, at least one")
    landmarks = load_landmarks(path.with_suffix(".npz"), images[0].shape[0])[: len(images)]
    times = [float(number / rate) for number in range(len(images))]
    return Clip(path.stem, [np.asarray(image, np.uint8) for image in images], times, rate, landmarks)


def measure_policy(clip: Clip, model: FaceModel, codec: MotionCodec, kind: str, target_kbps: float) -> PolicyRow:
    """Send one clip with one kind of references at one wire rate.

    kind: a value of `PictureCoding`, or "blended", for which `model` must be a `BlendingModel`.
    """
    coding = PictureCoding.AV1 if kind == _BLENDED else PictureCoding(kind)
    # The line may carry more for moments; the mean is the target.
    seconds = len(clip.images) / float(clip.frame_rate)
    line = OfflineLineConfig(kbps=max(_PEAK_KBPS, target_kbps))
    budget = ClipBudgetConfig(
        target=RateTarget(kbps=target_kbps, first_picture_counts=False),
        seconds=seconds,
        frame_rate=float(clip.frame_rate),
    )
    call = run_offline_call(
        clip.images,
        clip.times,
        model,
        codec,
        plan=ClipBudget(budget),
        sender_config=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), pictures=PictureConfig(coding=coding)),
        line=line,
    )
    return PolicyRow(
        references=kind,
        target_kbps=target_kbps,
        wire_kbps=call.wire.steady * 8 / 1000 / seconds,
        references_per_s=(call.sending.references - 1) / seconds,
        first_bytes=call.wire.first_picture,
        quality=measure_display(zip(clip.images, call.shown, strict=True), clip.landmarks),
    )


def mean_row(rows: Sequence[PolicyRow]) -> PolicyRow:
    """Means over clips of one kind and rate."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    return PolicyRow(
        references=rows[0].references,
        target_kbps=rows[0].target_kbps,
        wire_kbps=mean("wire_kbps"),
        references_per_s=mean("references_per_s"),
        first_bytes=mean("first_bytes"),
        quality=mean_display_quality([row.quality for row in rows]),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, help="square clips with their landmarks beside them (.npz)")
    parser.add_argument("--kbps", default="10,15,20,25,40", help="wire rates, kbit/s, with commas between")
    parser.add_argument("--frames", type=int, default=250, help="frames of each clip")
    parser.add_argument("--references", default=",".join(_KINDS), help="kinds, with commas between")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    rates = [float(rate) for rate in options.kbps.split(",")]
    kinds = options.references.split(",")
    if unknown := [kind for kind in kinds if kind not in _KINDS]:
        parser.error(f"--references: got {', '.join(unknown)}, expected some of {', '.join(_KINDS)}")
    bundle = open_bundle(_MODEL)
    model = FaceModel.load(bundle)
    blending = BlendingModel.load(bundle)
    assert isinstance(blending, BlendingModel)  # what `load` of this class makes
    codec = MotionCodec(bundle.tables(), model.keypoints)
    rows: dict[tuple[str, float], list[PolicyRow]] = {}
    for path in options.clips:
        clip = read_clip(path, options.frames)
        for rate in rates:
            for kind in kinds:
                blending.forget()
                used = blending if kind == _BLENDED else model
                rows.setdefault((kind, rate), []).append(measure_policy(clip, used, codec, kind, rate))
    means = [mean_row(rows[kind, rate]) for rate in rates for kind in kinds]
    if options.json:
        print(json.dumps([row.to_json() for row in means], indent=2))
        return
    print("| kbps | references | wire kbps | a second | whole dB | face dB | SSIM | sharpness |")
    print("|---|---|---|---|---|---|---|---|")
    for row in means:
        quality = row.quality
        print(
            f"| {row.target_kbps:g} | {row.references} | {row.wire_kbps:.1f} | {row.references_per_s:.2f} | "
            f"{quality.psnr_db:.2f} | {quality.face_psnr_db:.2f} | {quality.ssim:.3f} | {quality.sharpness:.2f} |"
        )


if __name__ == "__main__":
    main()
