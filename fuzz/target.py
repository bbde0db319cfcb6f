"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from fuzz.targets import TARGETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One parser under test.

    check: takes any bytes; returns when they parse and everything that must hold holds. It raises one of `errors` for
        bytes that the parser refuses, and anything else (AssertionError too) for a fault.
    errors: what the parser's documentation names for bytes that it refuses.
    seeds: inputs to start from, made by the product's own encoders.
    max_bytes: longest input worth trying.
    """

    check: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    max_bytes: int

    def __post_init__(self) -> None:
        """Check the seeds. Raises ValueError."""
        if not self.seeds or max(map(len, self.seeds)) > self.max_bytes:
            longest = max(map(len, self.seeds), default=0)
            raise ValueError(f"seeds: got {len(self.seeds)}, the longest {longest} bytes, of at most {self.max_bytes}")


def build_target(name: str) -> Target:
    """Build a target by its name; imports the code under test.

    Raises:
        ValueError: no target has this name.
    """
    if name not in TARGETS:
        raise ValueError(f"target: got {name!r}, expected one of {', '.join(TARGETS)}")
    target = import_module(f"fuzz.targets.{name}").build()
    assert isinstance(target, Target)
    return target
