"""``--engine auto``: the fastest engine on this machine that computes what ONNX Runtime computes on the processor.

Every engine that is installed is loaded, checked on frames of the sample clip and timed. What was found and what was
taken is printed; an engine that fails its check or does not start is named with the reason, and never taken.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from adasr_core.bundle import ModelBundle
from adasr_core.engines import ENGINES, EngineError, EngineName, FaceModel
from adasr_core.engines.device_model import Image
from adasr_core.engines.self_check import ReferenceRun, SelfCheck, check_engine, run_reference
from benchmarks.percentiles import measure

AUTO = "auto"
_PICTURES = 3
_RUNS = 10
_WARM_UP = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTrial:
    """One engine on this machine.

    Attributes:
        engine: its name.
        device: what it ran on; None when it did not start.
        turn_ms: median time of the detector and a frame in turn; None when it did not start.
        check: how it compares with the reference; None when it did not start.
        problem: why it did not start; None when it did.
    """

    engine: EngineName
    device: str | None = None
    turn_ms: float | None = None
    check: SelfCheck | None = None
    problem: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it ran and passed its check."""
        return self.check is not None and self.check.passed

    def describe(self) -> str:
        """One line."""
        if self.check is None or self.turn_ms is None:
            return f"{self.engine}: not used: {self.problem}"
        verdict = "passed" if self.check.passed else "FAILED its self-check, not used"
        return (
            f"{self.engine} on {self.device}: detector and frame {self.turn_ms:.1f} ms, {verdict} "
            f"({self.check.describe()})"
        )

    def to_json(self) -> dict[str, object]:
        """The findings in JSON types."""
        return {
            "engine": self.engine,
            "device": self.device,
            "turn_ms": None if self.turn_ms is None else round(self.turn_ms, 3),
            "keypoint_difference": None if self.check is None else round(self.check.keypoint_difference, 6),
            "frame_psnr_db": None if self.check is None else round(self.check.frame_psnr_db, 2),
            "passed": self.usable,
            "problem": self.problem,
        }


def try_engines(
    bundle: ModelBundle,
    engines: Sequence[EngineName] = ENGINES,
    threads: int | None = None,
    device: str | None = None,
) -> list[EngineTrial]:
    """Load, check and time engines one after the other; `device` is the engine's own name for it.

    Raises:
        EngineError: ONNX Runtime, the reference, does not run on the processor.
    """
    import cv2
    import numpy as np

    from adasr.sample_pictures import sample_pictures

    pictures = sample_pictures(_PICTURES)
    side = bundle.manifest.detector_px
    small = [np.asarray(cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA), np.uint8) for one in pictures]
    reference = run_reference(FaceModel.load(bundle, engine="onnxruntime", threads=threads), pictures, small)
    return [_try(engine, bundle, threads, device, reference, pictures, small) for engine in engines]


def _try(
    engine: EngineName,
    bundle: ModelBundle,
    threads: int | None,
    device: str | None,
    reference: ReferenceRun,
    pictures: Sequence[Image],
    small: Sequence[Image],
) -> EngineTrial:
    try:
        model = FaceModel.load(bundle, engine=engine, device=device, threads=threads)
        check = check_engine(model, reference, pictures, small)
        key = model.encode(pictures[0])
        motions = [seen.parameters for seen in reference.detections]

        def turn(index: int) -> None:
            model.detect(small[index % len(small)])
            model.rebuild(key, motions[0], motions[index % len(motions)])

        turn_ms = measure(turn, runs=_RUNS, warm_up=_WARM_UP).p50
        ran_on = model.describe().device
        model.close()
    except EngineError as error:
        return EngineTrial(engine=engine, problem=str(error))
    return EngineTrial(engine=engine, device=ran_on, turn_ms=turn_ms, check=check)


def fastest(trials: Sequence[EngineTrial]) -> EngineTrial:
    """The fastest engine that passed.

    Raises:
        EngineError: none did; the message says why for each.
    """
    usable = [
        (trial.turn_ms, number) for number, trial in enumerate(trials) if trial.usable and trial.turn_ms is not None
    ]
    if not usable:
        reasons = "; ".join(trial.describe() for trial in trials)
        raise EngineError(f"--engine auto: no engine can be used here: {reasons}")
    return trials[min(usable)[1]]


def settle_engine(args: argparse.Namespace) -> None:
    """Put the engine that was found in the place of ``--engine auto``; any other choice stays as it is.

    Raises:
        EngineError: no engine can be used.
        ValueError: a device was named too; devices are an engine's own.
        BundleError: there is no such model.
    """
    if getattr(args, "engine", None) != AUTO:
        return
    if getattr(args, "device", None) is not None:
        raise ValueError(f"--device {args.device}: an engine's own name for it; give --engine too, not {AUTO}")
    from adasr.preset_folder import open_model

    trials = try_engines(open_model(args.model), threads=getattr(args, "threads", None))
    chosen = fastest(trials)
    # The standard output may be JSON.
    for trial in trials:
        print(f"engine     {trial.describe()}", file=sys.stderr)
    print(f"engine     auto: {chosen.engine} is the fastest that passed", file=sys.stderr)
    args.engine = chosen.engine
