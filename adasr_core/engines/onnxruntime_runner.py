"""Graphs on ONNX Runtime, any provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from adasr_core.engines.runner import AnyArray, EngineError

CPU_PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeRunner:
    """A graph in a session of one provider."""

    def __init__(
        self,
        path: Path,
        *,
        provider: str = CPU_PROVIDER,
        threads: int | None = None,
        streams: int | None = None,
        picture: bool = False,
        pictures_in: Sequence[str] = (),
        content: bytes | None = None,
    ) -> None:
        """Load `path`; see `OpenVinoRunner` for `threads`, `streams`, `picture`, `pictures_in` and `content`.

        Raises:
            EngineError: the provider is not in this build of ONNX Runtime, or did not start (it would fall back in
            silence).
        """
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise EngineError(
                f"ONNX Runtime provider: got {provider!r}, this build has {available}; "
                "for NVIDIA GPUs install adasr[gpu] (onnxruntime-gpu instead of onnxruntime)"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if streams is not None:
            # A session may be run by any number of threads; each run then stays on its caller's core.
            options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path) if content is None else content, options, providers=[provider]
            )
        except Exception as error:  # ONNX Runtime raises its own classes, which share no public base
            raise EngineError(f"{path.name}: ONNX Runtime cannot load it: {str(error).splitlines()[0]}") from error
        if self._session.get_providers()[0] != provider:
            raise EngineError(f"ONNX Runtime provider {provider} did not start; check its driver and libraries")
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._provider, self._picture, self._pictures_in = provider, picture, tuple(pictures_in)

    @property
    def device(self) -> str:
        """Name of the execution provider."""
        return self._provider

    @property
    def precision(self) -> str:
        """Always float32 here; a GPU may use TF32 inside."""
        return "f32"

    def run(self, inputs: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
        """Run once."""
        given = dict(inputs)
        for name in self._pictures_in:
            planes = np.multiply(given[name].transpose(0, 3, 1, 2), np.float32(1 / 255), dtype=np.float32)
            given[name] = np.ascontiguousarray(planes)
        outputs: list[AnyArray] = self._session.run(self._outputs, given)
        if self._picture:
            outputs = [(o * np.float32(255) + np.float32(0.5)).astype(np.uint8).transpose(0, 2, 3, 1) for o in outputs]
        return {name: np.ascontiguousarray(o) for name, o in zip(self._outputs, outputs, strict=True)}
