"""What an NVIDIA GPU is and how full its memory is, asked of its driver."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuState:
    """A GPU at one moment.

    Attributes:
        name: the maker's name.
        driver: version of the driver.
        used_mib: memory in use by everybody, MiB.
        total_mib: memory it has, MiB.
    """

    name: str
    driver: str
    used_mib: int
    total_mib: int


def gpu_state(index: int = 0) -> GpuState | None:
    """The state of a GPU by the driver's number; None on a machine without NVIDIA's driver or that GPU."""
    query = ["--query-gpu=name,driver_version,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            ["nvidia-smi", f"--id={index}", *query], capture_output=True, text=True, check=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_gpu_state(answer.stdout)


def parse_gpu_state(line: str) -> GpuState:
    """Read one line of nvidia-smi's answer, "NVIDIA H200, 570.86.10, 512, 143771".

    Raises:
        ValueError: it is no such line.
    """
    fields = [field.strip() for field in line.strip().split(",")]
    if len(fields) != 4 or not (fields[2].isdecimal() and fields[3].isdecimal()):
        raise ValueError(f"nvidia-smi: got {line!r}, expected name, driver, MiB used, MiB in all")
    return GpuState(fields[0], fields[1], int(fields[2]), int(fields[3]))
