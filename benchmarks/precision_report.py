"""Every precision beside every other, and whether an int8 model is worth keeping."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.environment import Processor
from benchmarks.precision_quality import QualityRow
from benchmarks.precision_speed import SpeedRow


@dataclass(frozen=True, kw_only=True, slots=True)
class KeepRule:
    """When an int8 model is kept."""

    engine: str = "openvino"
    """The engine that it must be faster on."""
    max_loss_db: float = 0.3
    """Most PSNR that it may lose against float32 on any engine, whole and face each, mean over clips, dB; above 0."""

    def __post_init__(self) -> None:
        """Check the limit. Raises ValueError."""
        if not self.max_loss_db > 0:
            raise ValueError(f"max_loss_db: got {self.max_loss_db}, expected above 0")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the int8 model is kept. reasons: what speaks against it, a sentence each; none when it is kept."""

    reasons: tuple[str, ...]

    @property
    def keep(self) -> bool:
        """Nothing speaks against it."""
        return not self.reasons


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionReport:
    """What was measured.

    Attributes:
        model, version, codec_id: of the float32 model.
        speed: one row for each engine, precision and count of threads.
        quality: one row for each engine and precision, with the same clips.
        bytes: size of the motion field's and the generator's file, by precision of the file, by part.
        calibration_clips, calibration_frames: what int8 was calibrated on.
        engine_versions: by distribution.
        processor: the machine's processor. load_average: before the measurement.
        commit: of the checkout, None for an installed package.
    """

    model: str
    version: str
    codec_id: str
    speed: tuple[SpeedRow, ...]
    quality: tuple[QualityRow, ...]
    bytes: dict[str, dict[str, int]]
    calibration_clips: int
    calibration_frames: int
    engine_versions: dict[str, str]
    processor: Processor
    load_average: float | None
    commit: str | None

    def base(self, engine: str) -> QualityRow:
        """Float32 on an engine. Raises ValueError when it was not measured."""
        return self._quality(engine, "f32")

    def verdict(self, rule: KeepRule) -> Verdict:
        """Judge the int8 model.

        It must lose less than the limit on every engine, and on the rule's engine be faster than every other
        precision at every count of threads, by the median of the quietest round.

        Raises:
            ValueError: int8, or what it is compared with, was not measured.
        """
        reasons = []
        for row in self.quality:
            if row.precision != "int8":
                continue
            for name, loss in zip(("whole frame", "face"), row.loss_db(self.base(row.engine)), strict=True):
                if loss >= rule.max_loss_db:
                    reasons.append(
                        f"{row.engine}: int8 loses {loss:.2f} dB PSNR ({name}), the limit is {rule.max_loss_db:g} dB"
                    )
        rows = [row for row in self.speed if row.engine == rule.engine]
        int8 = [row for row in rows if row.precision == "int8"]
        others = [row for row in rows if row.precision != "int8"]
        if not int8 or not others:
            raise ValueError(f"speed: int8 and another precision on {rule.engine} were not both measured; measure both")
        for timed in int8:
            best = min((o for o in others if o.threads == timed.threads), key=lambda o: o.quiet_ms)
            if timed.quiet_ms >= best.quiet_ms:
                reasons.append(
                    f"{timed.engine}, threads: {timed.threads}: int8 needs {timed.quiet_ms:.1f} ms a frame, "
                    f"{best.precision} {best.quiet_ms:.1f} ms"
                )
        self._quality(rule.engine, "int8")
        return Verdict(tuple(reasons))

    def to_manifest(self) -> dict[str, object]:
        """What an int8 model's manifest says of its quality: by engine, PSNR and what int8 lost of it, dB."""
        said: dict[str, object] = {}
        for row in self.quality:
            if row.precision == "int8":
                loss, face_loss = row.loss_db(self.base(row.engine))
                figures = {"psnr_db": row.psnr_db, "face_psnr_db": row.face_psnr_db}
                figures |= {"loss_db": loss, "face_loss_db": face_loss}
                said[row.engine] = {name: round(value, 3) for name, value in figures.items()}
        return said

    def to_json(self) -> dict[str, object]:
        """The report in JSON types."""
        quality = []
        for row in self.quality:
            loss, worst = row.loss_db(self.base(row.engine)), row.worst_loss_db(self.base(row.engine))
            quality.append(
                row.to_json()
                | {"loss_db": loss[0], "face_loss_db": loss[1]}
                | {"worst_clip_loss_db": worst[0], "worst_clip_face_loss_db": worst[1]}
            )
        return {
            "model": self.model,
            "version": self.version,
            "codec_id": self.codec_id,
            "speed": [row.to_json() for row in self.speed],
            "quality": quality,
            "bytes": self.bytes,
            "calibration": {"clips": self.calibration_clips, "frames": self.calibration_frames},
            "engine_versions": self.engine_versions,
            "processor": self.processor.name,
            "cores": self.processor.cores,
            "isa_flags": list(self.processor.isa_flags),
            "load_average": self.load_average,
            "commit": self.commit,
        }

    def _quality(self, engine: str, precision: str) -> QualityRow:
        for row in self.quality:
            if (row.engine, row.precision) == (engine, precision):
                return row
        raise ValueError(f"quality: {precision} on {engine} was not measured; measure it too")
