"""``adasr train personalise``: read the clip, train, measure on what was held out, keep the adapter if it gained."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from adasr_core.adapter import ADAPTER_SUFFIX, Adapter, base_sha256_of
from adasr_core.bitstream import MotionCodec
from adasr_core.bundle import ModelBundle, open_bundle
from adasr_core.engines import FaceModel
from training.personalise.adapt import AdaptConfig, AdaptResult, adapt
from training.personalise.adapted import Adapted, adaptable_weights, fitting_rank, open_networks
from training.personalise.footage import read_footage
from training.personalise.measure import RebuildQuality, measure_rebuild
from training.personalise.samples import SampleMaker

REFERENCES = (1, 4)
"""Numbers of key frames with which the held-out frames are rebuilt."""
_REPORT = "report.json"
_NAME = re.compile(r"[^\W_][\w.-]{0,127}")
_LEAST_TRAINING_SHARE = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonaliseConfig:
    """One run."""

    clip: Path
    """Square video of one person."""
    out: Path
    """Folder for the adapter and the report."""
    name: str
    """File name of the adapter, without its suffix."""
    model: str = "edge"
    """Name or folder of the model."""
    person: str = ""
    """Label stored in the adapter, at most 64 characters."""
    minutes: float = 5.0
    """Wall-clock budget of the whole run."""
    steps: int | None = None
    """Most optimiser steps."""
    rank: int | None = None
    """Rank of the differences; None for whole ones where they fit, else the largest rank that does."""
    threads: int | None = None
    """Processor threads; None for all cores."""
    seed: int = 0
    """Seed of the training."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: got {self.name!r}, expected a plain file name; give one with --name")
        if len(self.person) > 64 or not (self.person.isprintable() or not self.person):
            raise ValueError(f"person: got {len(self.person)} characters, expected at most 64 printable ones")
        if not 0 < self.minutes <= 600:
            raise ValueError(f"minutes: got {self.minutes:g}, expected more than 0 and at most 600")
        for name in ("rank", "threads", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class PersonaliseResult:
    """What came out.

    adapter: its file; None when nothing was gained. before, after: quality on held-out frames by number of key frames.
    """

    adapter: Path | None
    before: dict[int, RebuildQuality]
    after: dict[int, RebuildQuality]
    training: AdaptResult

    @property
    def exit_code(self) -> int:
        """0 when an adapter was written, 1 when it gained nothing."""
        return 0 if self.adapter is not None else 1


class _Stopwatch:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.started = self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Book the time since the last call."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


def personalise(config: PersonaliseConfig, say: Callable[[str], None] = print) -> PersonaliseResult:
    """Make an adapter for the person in a clip.

    Args:
        config: the run.
        say: takes lines that tell how far it is.

    Raises:
        ValueError: the clip or the model cannot be used.
        OSError: a file cannot be read or written.
    """
    watch = _Stopwatch()
    bundle = open_bundle(config.model)
    weights = adaptable_weights(bundle)
    rank = config.rank or fitting_rank({name: value.shape for name, value in weights.items()})
    networks = open_networks(bundle)
    config.out.mkdir(parents=True, exist_ok=True)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    plain = FaceModel.load(bundle, threads=config.threads)
    watch.lap("load_model")
    footage = read_footage(config.clip, plain)
    maker = SampleMaker(footage, MotionCodec(bundle.tables(), plain.keypoints))
    watch.lap("read_clip")
    say(
        f"{config.clip.name}: {len(footage.numbers)} frames with a face ({footage.without_face} without); "
        f"{len(footage.fit)} train, {len(footage.choose)} choose, {len(footage.held_out)} are held out"
    )
    before = {count: measure_rebuild(plain, footage, maker, count) for count in REFERENCES}
    watch.lap("measure")
    # What was measured before is measured after.
    spent_s = time.monotonic() - watch.started + watch.seconds["measure"] + watch.seconds["load_model"]
    left_s = max(60 * config.minutes - spent_s, _LEAST_TRAINING_SHARE * 60 * config.minutes)
    adapted = Adapted.prepare(networks, weights, rank)
    training = adapt(
        adapted,
        footage,
        maker,
        AdaptConfig(minutes=left_s / 60, steps=config.steps, seed=config.seed),
        lambda step, loss, score: say(f"step {step}: loss {loss:.4f}, {score:.2f} dB on the choosing frames"),
    )
    watch.lap("training")
    watch.seconds["choosing"] = training.check_s
    watch.seconds["training"] -= training.check_s
    adapter = _make_adapter(config, bundle, adapted, training)
    fitted = FaceModel.load(bundle, threads=config.threads, adapter=adapter)
    after = {count: measure_rebuild(fitted, footage, maker, count) for count in REFERENCES}
    watch.lap("measure")
    gains = [(after[n].psnr_db - before[n].psnr_db, after[n].face_psnr_db - before[n].face_psnr_db) for n in REFERENCES]
    whole_db, face_db = (sum(gain) / len(gains) for gain in zip(*gains, strict=True))
    gained = training.best_step > 0 and whole_db + face_db > 0
    adapter = _make_adapter(config, bundle, adapted, training, whole_db, face_db)
    data = adapter.to_bytes()
    path = config.out / (config.name + ADAPTER_SUFFIX)
    if gained:
        _write(path, data)
    report = {
        "clip": config.clip.name,
        "model": bundle.manifest.name,
        "codec_id": bundle.codec_id,
        "base_sha256": adapter.base_sha256,
        "gained": gained,
        "gain_db": round(whole_db, 4),
        "face_gain_db": round(face_db, 4),
        "adapter": path.name if gained else None,
        "bytes": len(data),
        "rank": rank,
        "weights": len(adapter.differences),
        "frames": {p: len(getattr(footage, p)) for p in ("fit", "choose", "held_out")},
        "held_out": [{"references": n, "before": before[n].to_json(), "after": after[n].to_json()} for n in REFERENCES],
        "steps": training.steps,
        "kept_step": training.best_step,
        "losses": [round(loss, 5) for loss in training.losses],
        "threads": torch.get_num_threads(),
        "seconds": {name: round(value, 2) for name, value in watch.seconds.items()},
        "total_s": round(time.monotonic() - watch.started, 2),
    }
    _write(config.out / _REPORT, (json.dumps(report, indent=2) + "\n").encode())
    for n in REFERENCES:
        old, new = before[n], after[n]
        say(
            f"held out, from {n} key frame(s): whole {old.psnr_db:.2f} -> {new.psnr_db:.2f} dB, "
            f"face {old.face_psnr_db:.2f} -> {new.face_psnr_db:.2f} dB, "
            f"sharpness {old.sharpness:.2f} -> {new.sharpness:.2f}"
        )
    if gained:
        say(f"{len(data)} bytes written to {path}")
    else:
        say("nothing was gained on the held-out frames: no adapter written; give a longer clip or more --minutes")
    return PersonaliseResult(path if gained else None, before, after, training)


def _make_adapter(
    config: PersonaliseConfig,
    bundle: ModelBundle,
    adapted: Adapted,
    training: AdaptResult,
    gain_db: float = 0.0,
    face_gain_db: float = 0.0,
) -> Adapter:
    return Adapter(
        model=bundle.manifest.name,
        codec_id=bundle.codec_id,
        base_sha256=base_sha256_of(bundle),
        differences=adapted.differences(),
        person=config.person,
        steps=training.best_step,
        gain_db=gain_db,
        face_gain_db=face_gain_db,
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    os.replace(temporary, path)
