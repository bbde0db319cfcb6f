r"""A bad line, emulated in user space: what happens to a peer's datagrams on their way out (pure, seeded).

It stands between the wire meter and the socket, so a datagram that it loses was paid for. One direction each: a peer's
line impairs what that peer sends. The kernel's own emulation (tc netem) needs rights and modules that few machines
give.

    datagram -> outage? -> loss or burst? -> bounded queue of the rate cap -> delay + jitter (+ reordering) -> socket
                                                                          \-> the same again for a duplicate
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class LineConfig:
    """What a line does to the datagrams of one direction; the default does nothing."""

    loss: float = 0.0
    """Share of datagrams that are lost in the long run, 0 to 0.9."""
    burst: int = 1
    """Datagrams lost in a row each time, 1 to 100; the share stays what ``loss`` says."""
    delay_ms: float = 0.0
    """Time every datagram takes, in milliseconds, 0 to 10,000."""
    jitter_ms: float = 0.0
    """Each datagram takes 0 to so many milliseconds more, uniform and independent, so neighbours may change places."""
    reorder: float = 0.0
    """Share of datagrams that come late, 0 to 1."""
    reorder_ms: float = 60.0
    """How much later these come, in milliseconds, 0 to 10,000."""
    duplicate: float = 0.0
    """Share of datagrams that arrive twice, 0 to 1."""
    rate_kbps: float = 0.0
    """Rate of the line in kbit/s, IP and UDP headers counted; 0 is no limit."""
    queue_bytes: int = 12_000
    """What waits for the rate-limited line at most; a datagram that does not fit is lost."""
    outage_at_s: float = 0.0
    """Start of the outage, in seconds after the first media message of the call."""
    outage_s: float = 0.0
    """Length of the outage in seconds; 0 is none."""
    handshake: bool = False
    """Impair the making of the connection as well; otherwise the line is bad from the accepted handshake on."""
    seed: int = 1
    """Seed of the line's chance."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a value out of range.
        """
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 <= value <= most):
                raise ValueError(f"line {name}: got {value}, expected 0 to {most:g}")
        if not 1 <= self.burst <= 100:
            raise ValueError(f"line burst: got {self.burst}, expected 1 to 100 datagrams")
        if self.rate_kbps and self.queue_bytes < 1500:
            raise ValueError(f"line queue_bytes: got {self.queue_bytes}, expected at least 1500 where there is a rate")


_MOST = {
    "loss": 0.9,
    "delay_ms": 10_000.0,
    "jitter_ms": 10_000.0,
    "reorder": 1.0,
    "reorder_ms": 10_000.0,
    "duplicate": 1.0,
    "rate_kbps": 1e7,
    "queue_bytes": 1e9,
    "outage_at_s": 1e6,
    "outage_s": 1e6,
    "seed": 2.0**62,
}


def parse_line(text: str) -> LineConfig:
    """Read a line's text form, ``loss=0.05,burst=8,delay_ms=50``: any of ``LineConfig``'s fields, each once.

    Raises:
        ValueError: an unknown or repeated key, a value that is no number, or one out of range.
    """
    known = {field.name: str(field.type) for field in fields(LineConfig)}
    values: dict[str, float | int | bool] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in known:
            raise ValueError(f"line: got {part!r}, expected key=value with a key of {', '.join(known)}")
        if key in values:
            raise ValueError(f"line: {key} is given twice")
        values[key] = _parse_value(key, known[key], value)
    return LineConfig(**values)  # type: ignore[arg-type]  # checked field by field above


def _parse_value(key: str, kind: str, value: str) -> float | int | bool:
    if kind == "bool":
        if value not in ("0", "1"):
            raise ValueError(f"line {key}: got {value!r}, expected 0 or 1")
        return value == "1"
    try:
        return int(value) if kind == "int" else float(value)
    except ValueError:
        raise ValueError(
            f"line {key}: got {value!r}, expected {'a whole number' if kind == 'int' else 'a number'}"
        ) from None


class EmulatedLine:
    """Decides the fate of every datagram of one direction; the clock is the caller's."""

    def __init__(self, config: LineConfig) -> None:
        """Start with an empty queue and the seed's first chance."""
        self.config = config
        self._chance = random.Random(config.seed)
        self._burst_left = 0
        self._free_at = 0.0
        self._active = config.handshake
        self._media_at: float | None = None
        self.lost = 0
        self.overflowed = 0

    def call_began(self) -> None:
        """The handshake is accepted: from here on the line is bad."""
        self._active = True

    def media_began(self, now: float) -> None:
        """The first media message leaves or arrives: the outage is timed from here."""
        if self._media_at is None:
            self._media_at = now

    def in_outage(self, now: float) -> bool:
        """True while nothing passes."""
        if self._media_at is None or not self.config.outage_s:
            return False
        return 0 <= now - self._media_at - self.config.outage_at_s < self.config.outage_s

    def delays(self, wire_bytes: int, now: float) -> tuple[float, ...]:
        """Seconds after ``now`` at which a datagram of ``wire_bytes`` (headers counted) arrives.

        Returns:
            Nothing when it is lost, two delays when it is duplicated.
        """
        if not self._active:
            return (0.0,)
        if self.in_outage(now) or self._loses():
            self.lost += 1
            return ()
        waited = self._wait(wire_bytes, now)
        if waited is None:
            self.overflowed += 1
            return ()
        copies = 2 if self._chance.random() < self.config.duplicate else 1
        return tuple(waited + self._travel() for _ in range(copies))

    def _loses(self) -> bool:
        config = self.config
        if self._burst_left:
            self._burst_left -= 1
            return True
        # A burst starts so rarely that the long-run share of lost datagrams is ``loss``.
        if self._chance.random() < config.loss / (config.burst * (1 - config.loss) + config.loss):
            self._burst_left = config.burst - 1
            return True
        return False

    def _wait(self, wire_bytes: int, now: float) -> float | None:
        """Seconds in the queue and on the rate-limited line; None when the queue is full."""
        if not self.config.rate_kbps:
            return 0.0
        bytes_per_s = self.config.rate_kbps * 125
        backlog = max(0.0, self._free_at - now) * bytes_per_s
        if backlog + wire_bytes > self.config.queue_bytes:
            return None
        self._free_at = max(now, self._free_at) + wire_bytes / bytes_per_s
        return self._free_at - now

    def _travel(self) -> float:
        config = self.config
        late_ms = config.reorder_ms if self._chance.random() < config.reorder else 0.0
        return (config.delay_ms + self._chance.uniform(0, config.jitter_ms) + late_ms) / 1000
