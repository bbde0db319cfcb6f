"""How long frames wait before they are shown, and what is drawn where one is missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from receiver.concealment import ConcealmentConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PlayoutConfig:
    """How long frames wait before they are shown, and what is drawn where one is missing."""

    min_delay_ms: float = 0.0
    """Shortest playout delay beyond the fastest message's, for jitter and loss."""
    max_delay_ms: float = 200.0
    """Longest, for jitter and loss; what comes later is dropped. The span of a message and a faster display come on
    top."""
    shrink_ms_per_s: float = 20.0
    """How fast the delay shrinks when the network calms down."""
    conceal_loss: float = 0.02
    """From this share of lost frames on, delay is added so that the frame after a missing one is there in time."""
    conceal_wait_ms: float = 50.0
    """The most that this adds; it is one message's time when that is shorter. With several frames in a message the last
    of a lost message still are drawn between others, and the first carried on."""
    conceal_gap_ms: float = 1000.0
    """Frames missing in a gap up to this long are drawn between its ends; a longer gap is a jump. 0 draws none."""
    concealment: ConcealmentConfig = field(default_factory=ConcealmentConfig)
    """What is drawn when nothing came in time: motion is carried on for a while, then the picture stands."""
    display_interval_ms: float | None = None
    """Frames are drawn so that they follow each other at about this interval; None shows those that were sent."""
    catch_up_ms: float = 50.0
    """A frame overdue by more is skipped when a newer one is due."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 0 <= self.min_delay_ms <= self.max_delay_ms:
            raise ValueError(
                f"min_delay_ms, max_delay_ms: got {self.min_delay_ms}, {self.max_delay_ms}, expected 0 <= min <= max"
            )
        for name in (
            "shrink_ms_per_s",
            "conceal_loss",
            "conceal_wait_ms",
            "conceal_gap_ms",
            "catch_up_ms",
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if self.display_interval_ms is not None and not 4 <= self.display_interval_ms <= 1000:
            raise ValueError(
                f"display_interval_ms: got {self.display_interval_ms}, expected 4 to 1000, or None for the sender's"
            )
