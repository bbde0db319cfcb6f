"""What this machine has for a call: processor, engines, transport, and the verdict on its measured speed."""

import platform
import sys
from dataclasses import dataclass

from adasr import __version__
from adasr_core.engines import EngineError
from benchmarks.environment import Processor, describe_processor, package_version
from benchmarks.gpu_state import gpu_state
from benchmarks.speed import SpeedReport

CALL_FPS = 30.0
"""Frames a second of a call that looks like video."""
LEAST_CALL_FPS = 10.0
"""Below this a call makes no sense."""
INSTALLS = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "onnxruntime-cuda": "'adasr[gpu]' (after pip uninstall onnxruntime)",
    "tensorrt": "'adasr[tensorrt]'",
}
"""What pip installs for an engine."""
CUDA_PROVIDER = "CUDAExecutionProvider"
NO_GPU = "no NVIDIA GPU answers nvidia-smi; check the driver"


@dataclass(frozen=True, slots=True)
class EngineFound:
    """One engine.

    Attributes:
        name: as --engine takes it.
        version: None when it is not installed.
        devices: what it can run on, by its own names; for OpenVINO's the arithmetic it is fast in follows in brackets.
        problem: why it is installed but cannot be used; None when it can.
    """

    name: str
    version: str | None
    devices: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine has.

    Attributes:
        processor: its processor.
        system: operating system and its version.
        python: version of Python.
        adasr: version of adasr.
        engines: all engines adasr knows, found or not.
        transport: versions of the packages a call goes through; None for one that is not installed.
    """

    processor: Processor
    system: str
    python: str
    adasr: str
    engines: tuple[EngineFound, ...]
    transport: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call is possible, judged by the detector and a frame in turn.

    Attributes:
        turn_ms_p50: median time of both.
        turn_ms_p95: sum of their 95th percentiles.
        full_rate: 30 frames/s fit the median.
        call: 10 frames/s fit it.
    """

    turn_ms_p50: float
    turn_ms_p95: float
    full_rate: bool
    call: bool


def inspect_machine() -> Machine:
    """Look at the machine; nothing is measured yet."""
    return Machine(
        processor=describe_processor(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        adasr=__version__,
        engines=(_find_openvino(), _find_onnxruntime(), _find_onnxruntime_cuda(), _find_tensorrt()),
        transport={name: package_version(name) for name in ("aiortc", "av", "uvloop") if _runs_here(name)},
    )


def judge(speed: SpeedReport) -> Verdict:
    """Judge a measured speed."""
    # Most frames of a call lie between two anchors: where they are refined, that may be the slower way.
    drawn = max((speed.frame_ms, speed.refined_ms or speed.frame_ms), key=lambda found: found.p50)
    p50 = speed.detector_ms.p50 + drawn.p50
    p95 = speed.detector_ms.p95 + drawn.p95
    return Verdict(p50, p95, full_rate=p50 <= 1e3 / CALL_FPS, call=p50 <= 1e3 / LEAST_CALL_FPS)


def _runs_here(distribution: str) -> bool:
    return distribution != "uvloop" or sys.platform != "win32"


def _find_openvino() -> EngineFound:
    version = package_version("openvino")
    if version is None:
        return EngineFound("openvino", None)
    try:
        import openvino

        core = openvino.Core()
        devices = []
        for device in core.available_devices:
            name = core.get_property(device, "FULL_DEVICE_NAME")
            arithmetic = [kind for kind in core.get_property(device, "OPTIMIZATION_CAPABILITIES") if kind[-1].isdigit()]
            devices.append(f"{device}: {name} [{' '.join(arithmetic)}]")
    except (ImportError, RuntimeError) as error:
        return EngineFound("openvino", version, problem=str(error).splitlines()[0])
    return EngineFound("openvino", version, tuple(devices))


def _find_onnxruntime() -> EngineFound:
    version = package_version("onnxruntime-gpu") or package_version("onnxruntime")
    if version is None:
        return EngineFound("onnxruntime", None)
    try:
        import onnxruntime

        return EngineFound("onnxruntime", version, tuple(onnxruntime.get_available_providers()))
    except (ImportError, AttributeError) as error:
        return EngineFound("onnxruntime", version, problem=str(error).splitlines()[0])


def _find_onnxruntime_cuda() -> EngineFound:
    """The CUDA build of ONNX Runtime, which owns the same files as the plain one."""
    plain = _find_onnxruntime()
    if CUDA_PROVIDER not in plain.devices:
        return EngineFound("onnxruntime-cuda", None)
    return EngineFound("onnxruntime-cuda", plain.version, _gpus(), None if _gpus() else NO_GPU)


def _find_tensorrt() -> EngineFound:
    names = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
    version = next((found for name in names if (found := package_version(name))), None)
    if version is None:
        return EngineFound("tensorrt", None)
    if package_version("pycuda") is None:
        return EngineFound("tensorrt", version, problem="pycuda is not installed; pip install 'adasr[tensorrt]'")
    return EngineFound("tensorrt", version, _gpus(), None if _gpus() else NO_GPU)


def _gpus() -> tuple[str, ...]:
    """The first NVIDIA GPU, by name; empty without one."""
    found = gpu_state()
    return () if found is None else (f"0: {found.name}, {found.total_mib} MiB, driver {found.driver}",)


def require_engine(machine: Machine, name: str) -> None:
    """Refuse to go on without the engine that was asked for.

    Raises:
        EngineError: it is not installed or does not start.
    """
    found = next(engine for engine in machine.engines if engine.name == name)
    if found.version is None:
        raise EngineError(
            f"engine {name}: not installed; pip install {INSTALLS[name]}, or choose another with --engine"
        )
    if found.problem is not None:
        raise EngineError(f"engine {name} {found.version}: does not start ({found.problem}); install it again")
