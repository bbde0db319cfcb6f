"""What a measurement ran on: processor, engines, versions, commit."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ISA_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "bf16",
    "i8mm",
)
"""Processor features that change how fast the networks run, by Linux's names (x86 first, then ARM)."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor.

    Attributes:
        name: the maker's name for it.
        architecture: "x86_64", "arm64", ...
        cores: logical cores this process may use.
        isa_flags: those of ISA_FLAGS it has; empty where the system does not tell.
    """

    name: str
    architecture: str
    cores: int
    isa_flags: tuple[str, ...]


def describe_processor() -> Processor:
    """Ask the operating system about the processor."""
    fields = _read_cpuinfo()
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return Processor(name, platform.machine(), usable_cores(), tuple(flag for flag in ISA_FLAGS if flag in flags))


def usable_cores() -> int:
    """Logical cores this process may use, where the system can tell; else all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted a core, mean over the last minute; None where the system keeps no such figure."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def package_version(distribution: str) -> str | None:
    """Version of an installed distribution, None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def source_commit() -> str | None:
    """Commit of the checkout this runs from, with "+" when it has changes; None for an installed package."""
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return finished.stdout.strip()


def _read_cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}
