"""What an engine must do: run one exported graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

EngineName = Literal["openvino", "onnxruntime", "onnxruntime-cuda", "tensorrt"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

Array = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]


class EngineError(RuntimeError):
    """An engine, device or provider that was asked for is not there or does not start. The message says what to do."""


class GraphRunner(Protocol):
    """One loaded graph. Not for use by two threads at once, unless it was loaded with streams for them."""

    @property
    def device(self) -> str:
        """Device or provider the graph really runs on."""

    @property
    def precision(self) -> str:
        """Arithmetic precision: "f32" or "bf16"."""

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Run on `inputs` by name, float32 but for those that were loaded as pictures; fresh output arrays by name."""


def gpu_number(device: str | None) -> int:
    """Number of the NVIDIA GPU that `device` names; None is the first.

    Raises:
        EngineError: it is no number.
    """
    if device is None:
        return 0
    if not device.isdecimal():
        raise EngineError(f"device: got {device!r}, expected the number of an NVIDIA GPU, as nvidia-smi counts: 0")
    return int(device)
