"""When to send a new reference.

A reference goes out at once when the receiver cannot show anything right without it (the first one, one that it asked
for, a face found at a new place, a face that left). Otherwise only if it mends the picture: the sender rebuilds what
the receiver shows and compares it with what a fresh reference would give. Everything is charged to a token bucket;
what cannot wait may overdraw it once, what can wait needs the tokens. At most one reference is on its way at a time;
only a request overtakes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from sender.token_bucket import TokenBucket

_MEASURED_KEPT = 20
_MEASURED_NEEDED = 5


class ReferenceReason(Enum):
    """Why a reference was sent."""

    FIRST = "first"
    REQUESTED = "requested"
    FACE_FOUND = "face found"
    CROP_MOVED = "crop moved"
    QUALITY = "quality"
    SCENE = "scene without a face"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePolicyConfig:
    """The rate and the threshold of references."""

    single_key_frame: bool = False
    """One key frame only: a new one just on request or for a face found anew."""
    budget_bps: float = 8000.0
    """Mean rate of references, bits a second."""
    burst_bytes: int = 24_000
    """Bytes that references may use at once after a quiet time."""
    quality_gain_db: float = 2.0
    """A reference must promise this gain while tokens are plenty; twice of it when they are short."""
    worst_share: float = 0.35
    """Only a picture among so many of the worst of the last 20 measured ones: a bank of unlike poses serves longer."""
    min_interval_s: float = 0.4
    """Shortest time between two references, seconds."""
    acknowledgement_timeout_s: float = 3.0
    """A reference not acknowledged for so long no longer holds back the next one, seconds."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("budget_bps", "quality_gain_db", "min_interval_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if not 0 < self.worst_share <= 1:
            raise ValueError(f"worst_share: got {self.worst_share}, expected above 0 and at most 1")
        if self.burst_bytes < 1:
            raise ValueError(f"burst_bytes: got {self.burst_bytes}, expected at least 1")
        if not self.acknowledgement_timeout_s > 0:
            raise ValueError(f"acknowledgement_timeout_s: got {self.acknowledgement_timeout_s}, expected more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What the policy needs to know about a frame.

    no_reference: there is a face, and no acknowledged reference of one. face_gone: the face left, and the receiver
    still shows it. scene_changed: the place without a face looks different by now. quality_db: of the rebuild with
    the best reference, None when not measured lately. fresh_quality_db: of a rebuild right from its own reference,
    None when unknown. awaiting: a reference is sent and not yet acknowledged.
    """

    time: float
    face_found_anew: bool = False
    no_reference: bool = False
    crop_moved: bool = False
    face_gone: bool = False
    scene_changed: bool = False
    quality_db: float | None = None
    fresh_quality_db: float | None = None
    awaiting: bool = False


class ReferencePolicy:
    """Decides, frame by frame, whether a reference goes out, and why."""

    def __init__(self, config: ReferencePolicyConfig) -> None:
        self._config = config
        self._bucket = TokenBucket(config.budget_bps, config.burst_bytes)
        self._sent_time: float | None = None
        self._expected_bytes = 6000.0
        self._last_reason: ReferenceReason | None = None
        self._requested = False
        self._owed = False
        self._measured: deque[float] = deque(maxlen=_MEASURED_KEPT)

    def measured(self, quality_db: float) -> None:
        """A rebuild with the best reference had this quality; see `Situation.quality_db`."""
        self._measured.append(quality_db)

    def request(self, *, awaiting: bool) -> bool:
        """The receiver asks for a reference. False when the answer is on its way (`awaiting`: one is) already."""
        if awaiting and self._last_reason in (ReferenceReason.FIRST, ReferenceReason.REQUESTED):
            return False
        self._requested = True
        return True

    def decide(self, now: Situation) -> ReferenceReason | None:
        """Why to send a reference with this frame, or None."""
        config = self._config
        if self._sent_time is None:
            return ReferenceReason.FIRST
        # A face found while another reference is on its way is not forgotten.
        self._owed = self._owed or now.face_found_anew or (now.no_reference and not now.awaiting)
        elapsed_s = now.time - self._sent_time
        timed_out = elapsed_s > config.acknowledgement_timeout_s
        if elapsed_s < config.min_interval_s or (now.awaiting and not timed_out and not self._requested):
            return None
        level = self._bucket.level_bytes(now.time)
        if level > -config.burst_bytes:
            if self._requested or (now.awaiting and timed_out):
                return ReferenceReason.REQUESTED
            if self._owed:
                return ReferenceReason.FACE_FOUND
            if now.face_gone and not config.single_key_frame:
                return ReferenceReason.SCENE
        if config.single_key_frame or level < self._expected_bytes:
            return None
        if now.scene_changed:
            return ReferenceReason.SCENE
        if now.crop_moved:
            return ReferenceReason.CROP_MOVED
        if self._would_mend(now):
            return ReferenceReason.QUALITY
        return None

    def _would_mend(self, now: Situation) -> bool:
        """Whether the picture is bad against what a fresh reference gives, and against what it was lately."""
        if now.quality_db is None or now.fresh_quality_db is None or len(self._measured) < _MEASURED_NEEDED:
            return False
        needed_db = self._config.quality_gain_db * (2.0 - self._bucket.fill(now.time))
        if now.fresh_quality_db - now.quality_db < needed_db:
            return False
        lately = sorted(self._measured)
        return now.quality_db <= lately[min(int(self._config.worst_share * len(lately)), len(lately) - 1)]

    def sent(self, count_bytes: int, time: float, reason: ReferenceReason) -> None:
        """A reference of `count_bytes` went out at `time`."""
        self._bucket.spend(count_bytes, time)
        self._sent_time = time
        self._expected_bytes += 0.5 * (count_bytes - self._expected_bytes)
        self._last_reason = reason
        self._requested = False
        if reason is not ReferenceReason.SCENE:
            self._owed = False
