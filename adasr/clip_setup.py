"""What a command that takes clips through the codec needs for each of them, in this process or in another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adasr.encode_options import EncodeOptions
from adasr_core.adapter import open_adapter
from adasr_core.bundle import open_bundle
from adasr_core.engines import EngineName, FaceModel


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSetup:
    """The model, and how to encode with it."""

    model: str
    """Name of a model, or path of its folder."""
    engine: EngineName = "openvino"
    """What runs the model."""
    adapter: Path | None = None
    """File of the adapter of the person in the clips; both ends have it."""
    options: EncodeOptions
    """How to encode."""

    def load(self, threads: int) -> FaceModel:
        """The model with all its parts; `threads`: rebuilds at once, on which no figure depends.

        Raises:
            ValueError, OSError, EngineError: the model or the adapter cannot be loaded.
        """
        bundle = open_bundle(self.model)
        return FaceModel.load(bundle, engine=self.engine, adapter=open_adapter(self.adapter, bundle), streams=threads)
