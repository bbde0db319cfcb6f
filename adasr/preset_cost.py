"""Cost of both sizes of the architecture, counted on the torch networks, against the budgets they must keep."""

from dataclasses import dataclass

TORCH_MISSING = "parameters and work of the presets: need torch, which is not installed; pip install 'adasr[train]'"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most work a model may cost, in 1e9 multiply-accumulates (GMAC).

    Attributes:
        detector: one run of the detector, the same for all sizes: it defines the bitstream.
        frame: motion field and generator together, what a receiver runs for every frame.
    """

    detector: float
    frame: float


BUDGETS = {
    "edge": Budget(detector=0.25, frame=2.0),  # 33 ms on two processor cores
    "base": Budget(detector=0.25, frame=100.0),  # 30 frames/s with room to spare on an RTX 3080
}


@dataclass(frozen=True, slots=True)
class PartFigures:
    """One network: its parameters and 1e9 multiply-accumulates of one run."""

    parameters: int
    gmac: float


@dataclass(frozen=True, slots=True)
class PresetCost:
    """One size of the architecture.

    Attributes:
        name: "edge" or "base".
        parts: detector, encoder, motion, generator.
        budget: what it must keep.
    """

    name: str
    parts: dict[str, PartFigures]
    budget: Budget

    @property
    def gmac_per_frame(self) -> float:
        """What a receiver runs for every frame: motion field and generator."""
        return self.parts["motion"].gmac + self.parts["generator"].gmac

    @property
    def detector_within_budget(self) -> bool:
        """Whether the detector keeps its budget."""
        return self.parts["detector"].gmac <= self.budget.detector

    @property
    def frame_within_budget(self) -> bool:
        """Whether motion field and generator keep theirs."""
        return self.gmac_per_frame <= self.budget.frame

    @property
    def within_budget(self) -> bool:
        """Whether both budgets are kept."""
        return self.detector_within_budget and self.frame_within_budget

    def to_json(self) -> dict[str, object]:
        """The figures in JSON types."""
        return {
            "parts": {
                name: {"parameters": part.parameters, "gmac": round(part.gmac, 4)} for name, part in self.parts.items()
            },
            "gmac_per_frame": round(self.gmac_per_frame, 4),
            "budget_gmac": {"detector": self.budget.detector, "frame": self.budget.frame},
            "ok": self.within_budget,
        }


def count_presets() -> tuple[PresetCost, ...] | None:
    """Count both sizes on their torch networks; None where torch is not installed."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        return None
    from adasr_core.networks import PRESETS
    from adasr_core.networks.cost import model_cost

    counted = []
    for name, config in PRESETS.items():
        cost = model_cost(config)
        parts = {part: getattr(cost, part) for part in ("detector", "encoder", "motion", "generator")}
        figures = {part: PartFigures(found.parameters, found.gmac) for part, found in parts.items()}
        counted.append(PresetCost(name, figures, BUDGETS[name]))
    return tuple(counted)
