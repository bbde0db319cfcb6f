"""How wrong a made-up frame is: held, carried on or drawn between its neighbours, on the motion of real clips.

    python -m benchmarks.concealment_error CLIP...

Every clip's frames go through the detector and the motion codec against the clip's first frame. Then gaps are cut into
what came out, and every method fills them. The keypoints are compared with those detected, and at some places rebuilt
pictures with the source.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import DEFAULT_QUALITY, MotionCodec
from adasr_core.bundle import open_bundle
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters
from adasr_core.picture_quality import psnr_db
from receiver.concealment import ConcealmentConfig, Sample, extrapolate_at, interpolate_at

Image = npt.NDArray[np.uint8]
Vector = npt.NDArray[np.float64]
Method = Callable[["CodedClip", int, int, int], Vector]

GAPS = (1, 2, 3, 4)
"""Missing frames in a row."""

GAINS = (0.25, 0.5, 0.75, 1.0)
_NEIGHBOURS = 4
_CENTRE_PX = 256.0


@dataclass(frozen=True, slots=True, eq=False)
class CodedClip:
    """A clip's motion. frame_ms: between frames. reference: decoded. detected, decoded: float64 [T, 6K] each."""

    path: Path
    frame_ms: float
    reference: MotionParameters
    detected: Vector
    decoded: Vector


@dataclass(frozen=True, slots=True)
class MethodError:
    """Of one method, over the missing frames of all gaps of one length: means over the clips.

    keypoints_px: root mean square distance of the keypoints from those detected, pixels of 512. picture_db: PSNR of
    the rebuilt picture against the source.
    """

    method: str
    gap: int
    keypoints_px: float
    picture_db: float | None


def methods() -> dict[str, Method]:
    """Ways to fill a gap after frame `last` of `gap` frames, at the place `last + step`."""

    def carried_on(gain: float) -> Method:
        config = ConcealmentConfig(gain=gain)

        def method(clip: CodedClip, last: int, gap: int, step: int) -> Vector:
            return extrapolate_at(_samples(clip, [last - 1, last]), (last + step) * clip.frame_ms, config)

        return method

    ways: dict[str, Method] = {
        "as received": lambda clip, last, gap, step: clip.decoded[last + step],
        "held": lambda clip, last, gap, step: clip.decoded[last],
    }
    ways |= {f"carried on, gain {gain:g}": carried_on(gain) for gain in GAINS}
    ways["between its neighbours"] = lambda clip, last, gap, step: interpolate_at(
        _samples(clip, [last, last + gap + 1]), (last + step) * clip.frame_ms
    )
    return ways


def code_clip(path: Path, model: FaceModel, codec: MotionCodec, frames: int) -> CodedClip:
    """Detect and quantise the motion of a square clip's first frames."""
    detected: list[Vector] = []
    decoded: list[Vector] = []
    reference: MotionParameters | None = None
    for picture in read_pictures(path, frames):
        small = cv2.resize(picture, (model.detector_px, model.detector_px), interpolation=cv2.INTER_AREA)
        parameters = model.detect(np.asarray(small, np.uint8)).parameters.clamped()
        if reference is None:
            reference = codec.decode_reference(codec.encode_reference(parameters))
        detected.append(parameters.vector())
        decoded.append(codec.quantise(parameters, reference, DEFAULT_QUALITY).vector())
    if reference is None or len(detected) <= 2 * _NEIGHBOURS:
        raise ValueError(f"{path}: got {len(detected)} frames, expected more than {2 * _NEIGHBOURS}")
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
    return CodedClip(path, 1000 / float(rate or 25), reference, np.array(detected), np.array(decoded))


def read_pictures(path: Path, frames: int) -> Iterator[Image]:
    """The first frames of a clip, uint8 [S, S, 3] RGB."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number >= frames:
                return
            yield np.ascontiguousarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def keypoint_error_px(vector: Vector, truth: Vector) -> float:
    """Root mean square distance of the keypoints, pixels of a picture of 512."""
    points = vector.size // 3
    difference = (vector - truth)[:points].reshape(-1, 2)
    return float(np.sqrt((difference * difference).sum(axis=1).mean())) * _CENTRE_PX


def motion_errors(clip: CodedClip, method: Method, gap: int) -> float:
    """Mean keypoint error over the missing frames of gaps that begin at every third frame."""
    lasts = range(_NEIGHBOURS, len(clip.decoded) - gap - 1, 3)
    errors = [
        keypoint_error_px(method(clip, last, gap, step), clip.detected[last + step])
        for last in lasts
        for step in range(1, gap + 1)
    ]
    return float(np.mean(errors))


def picture_errors(clip: CodedClip, model: FaceModel, ways: dict[str, Method], gap: int, places: int) -> Vector:
    """Mean PSNR of the middle frame of a gap, at some places of a clip: one number a method."""
    pictures = list(read_pictures(clip.path, len(clip.decoded)))
    first = cv2.resize(pictures[0], (model.frame_px, model.frame_px), interpolation=cv2.INTER_AREA)
    features = model.encode(np.asarray(first, np.uint8))
    step = (gap + 1) // 2
    rows = []
    for last in np.linspace(_NEIGHBOURS, len(clip.decoded) - gap - 2, places).astype(int).tolist():
        source = cv2.resize(pictures[last + step], (model.frame_px, model.frame_px), interpolation=cv2.INTER_AREA)
        rows.append(
            [
                psnr_db(
                    np.asarray(source, np.uint8),
                    model.rebuild(
                        features, clip.reference, MotionParameters.from_vector(method(clip, last, gap, step)).clamped()
                    ),
                )
                for method in ways.values()
            ]
        )
    means: Vector = np.array(rows).mean(axis=0)
    return means


def measure(
    clips: Sequence[Path], *, frames: int = 250, places: int = 12, gaps: Sequence[int] = GAPS
) -> list[MethodError]:
    """All methods over all gap lengths. places: of rebuilt pictures a clip and gap length; 0 rebuilds none."""
    bundle = open_bundle("edge")
    model = FaceModel.load(bundle, threads=2)
    codec = MotionCodec(bundle.tables(), bundle.manifest.keypoints)
    coded = [code_clip(path, model, codec, frames) for path in clips]
    ways = methods()
    errors = []
    for gap in gaps:
        pictures = [picture_errors(clip, model, ways, gap, places) for clip in coded] if places else []
        for number, (name, method) in enumerate(ways.items()):
            motion = float(np.mean([motion_errors(clip, method, gap) for clip in coded]))
            picture = float(np.mean([row[number] for row in pictures])) if pictures else None
            errors.append(MethodError(name, gap, motion, picture))
    return errors


def table(errors: Sequence[MethodError]) -> str:
    """The errors as a Markdown table: pixels, and dB where pictures were rebuilt."""
    gaps = dict.fromkeys(error.gap for error in errors)
    lines = [
        "| frame is | " + " | ".join(f"{gap} missing" for gap in gaps) + " |",
        "|---|" + "---|" * len(gaps),
    ]
    for name in dict.fromkeys(error.method for error in errors):
        cells = [
            f"{error.keypoints_px:.2f} px" + ("" if error.picture_db is None else f", {error.picture_db:.2f} dB")
            for error in errors
            if error.method == name
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _samples(clip: CodedClip, numbers: Sequence[int]) -> list[Sample]:
    return [Sample(number * clip.frame_ms, clip.decoded[number], None) for number in numbers]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How wrong frames are that were made up.")
    parser.add_argument("clips", nargs="+", type=Path, help="square clips of talking heads")
    parser.add_argument("--frames", type=int, default=250, help="frames of each clip")
    parser.add_argument("--places", type=int, default=12, help="rebuilt pictures a clip and gap length; 0 for none")
    parser.add_argument("--gaps", nargs="+", type=int, default=GAPS, help="missing frames in a row")
    options = parser.parse_args(arguments)
    print(table(measure(options.clips, frames=options.frames, places=options.places, gaps=options.gaps)))


if __name__ == "__main__":
    main()
