"""When to send a new reference.

A reference goes out at once when the receiver cannot show anything right without it (the first one, one that it asked
for, a face found at a new place, a face that left). Otherwise it must pay: the policy knows what a fresh reference
would gain at this moment, and sends one when waiting costs more than the mean so far::

    gain, dB                         sent when   gain now * T - (what was missed since the last one) >= price * bytes
      |          __/|
      |      __/####|  <- the part above the line is what sending now saves against
      |  __/########|     sending at the mean rate so far
      +-------------+--> T, s since the last reference came into use

The price is nothing while the token bucket holds enough for two, and rises as it empties. So a picture that gets worse
steadily has references at even times, one that changes suddenly has them then, and a still one none.
With enough for three, any gain will do: tokens that nobody spends mend nothing. At most one reference is on its way at
a time; only a request overtakes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sender.token_bucket import TokenBucket

_LEARNING = 0.3
_SMOOTHING_S = 0.25
_LONGEST_STEP_S = 1.0
_SURPRISE = 2.0
_MOST_PATIENCE = 4.0
_PLENTY = 3.0
_LEAST_SAVED_DB_S = 0.01


class ReferenceReason(Enum):
    """Why a reference was sent."""

    FIRST = "first"
    REQUESTED = "requested"
    FACE_FOUND = "face found"
    CROP_MOVED = "crop moved"
    QUALITY = "quality"
    SCENE = "scene without a face"

    @property
    def hurried(self) -> bool:
        """Whether the receiver cannot show anything right without it."""
        return self not in (ReferenceReason.QUALITY, ReferenceReason.CROP_MOVED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePolicyConfig:
    """The thresholds of references; their rate is `RatePlan.reference_bps`."""

    single_key_frame: bool = False
    """One key frame only: a new one just on request or for a face found anew."""
    burst_s: float = 4.0
    """So many seconds' worth of the rate may be used at once after a quiet time."""
    least_burst_bytes: int = 6000
    """That much at least may."""
    price_db_s: float = 0.3
    """What 1000 bytes must save when the bucket holds just enough for them: decibels times seconds."""
    least_gain_db: float = 0.2
    """A reference must promise this much whatever it costs."""
    min_interval_s: float = 0.15
    """Shortest time between two references, seconds."""
    acknowledgement_timeout_s: float = 3.0
    """A reference not acknowledged for so long no longer holds back the next one, seconds. Twice as long for the next
    one, and so on up to four times, until one is acknowledged: on a line that takes longer than this for a key unit,
    each would else be given up just before it is there, and a call would never begin."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("burst_s", "price_db_s", "least_gain_db", "min_interval_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")
        if self.least_burst_bytes < 1:
            raise ValueError(f"least_burst_bytes: got {self.least_burst_bytes}, expected at least 1")
        if not self.acknowledgement_timeout_s > 0:
            raise ValueError(f"acknowledgement_timeout_s: got {self.acknowledgement_timeout_s}, expected more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What the policy needs to know about a frame.

    no_reference: there is a face, and no acknowledged reference of one. face_gone: the face left, and the receiver
    still shows it. scene_changed: the place without a face looks different by now. gain_db: what a fresh reference
    would gain over the best one there is, None when unknown. awaiting: a reference is sent and not yet acknowledged.
    """

    time: float
    face_found_anew: bool = False
    no_reference: bool = False
    crop_moved: bool = False
    face_gone: bool = False
    scene_changed: bool = False
    gain_db: float | None = None
    awaiting: bool = False


class ReferencePolicy:
    """Decides, frame by frame, whether a reference goes out, and why."""

    def __init__(self, config: ReferencePolicyConfig, rate_bps: float, expected_bytes: float = 1000.0) -> None:
        """Begin with nothing sent.

        rate_bps: mean rate of references, bits a second; see `set_rate`. expected_bytes: of one, until it is known.
        """
        self._config = config
        self._rate_bps = rate_bps
        self._bucket = TokenBucket(rate_bps, self._burst_bytes(rate_bps))
        self._sent_time: float | None = None
        self._patience_s = config.acknowledgement_timeout_s
        self._expected_bytes = expected_bytes
        self._last_reason: ReferenceReason | None = None
        self._requested = False
        self._owed = False
        self._gain_since: float | None = None
        self._gain_time = 0.0
        self._gain_db = 0.0
        self._missed_db_s = 0.0

    @property
    def rate_bps(self) -> float:
        """Mean rate of references, bits a second."""
        return self._rate_bps

    def set_rate(self, rate_bps: float, now: float | None) -> None:
        """Another mean rate from `now` on (None: before the first frame). The first picture is not charged to it."""
        if rate_bps == self._rate_bps:
            return
        self._rate_bps = rate_bps
        if now is None:
            self._bucket = TokenBucket(rate_bps, self._burst_bytes(rate_bps))
        else:
            self._bucket.set_rate(rate_bps, self._burst_bytes(rate_bps), now)

    def request(self, *, awaiting: bool) -> bool:
        """The receiver asks for a reference. False when the answer is on its way (`awaiting`: one is) already."""
        if awaiting and self._last_reason in (ReferenceReason.FIRST, ReferenceReason.REQUESTED):
            return False
        self._requested = True
        return True

    def decide(self, now: Situation) -> ReferenceReason | None:
        """Why to send a reference with this frame, or None."""
        config = self._config
        self._note_gain(now)
        if self._sent_time is None:
            return ReferenceReason.FIRST
        # A face found while another reference is on its way is not forgotten.
        self._owed = self._owed or now.face_found_anew or (now.no_reference and not now.awaiting)
        elapsed_s = now.time - self._sent_time
        if not now.awaiting:
            self._patience_s = config.acknowledgement_timeout_s
        timed_out = elapsed_s > self._patience_s
        if elapsed_s < config.min_interval_s or (now.awaiting and not timed_out and not self._requested):
            return None
        level = self._bucket.level_bytes(now.time)
        if level > -self._burst_bytes(self._rate_bps):
            if now.awaiting and timed_out:
                self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE * config.acknowledgement_timeout_s)
                return ReferenceReason.REQUESTED
            if self._requested:
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
        if now.gain_db is not None and self._pays(now.time):
            return ReferenceReason.QUALITY
        return None

    def sent(self, count_bytes: int, time: float, reason: ReferenceReason, *, named: bool = False) -> None:
        """A reference of `count_bytes` went out at `time`. named: its picture is a kept one, by name alone."""
        if reason is ReferenceReason.FIRST:
            # What it costs is the price of a call, not of its rate; what follows shall keep to the rate from here on.
            # Behind a name the first picture of this call is still to come, and shall not wait.
            left = _PLENTY * self._expected_bytes if named else 0.0
            self._bucket.spend(max(int(self._bucket.level_bytes(time) - left), 0), time)
        else:
            self._bucket.spend(count_bytes, time)
        if reason in (ReferenceReason.QUALITY, ReferenceReason.CROP_MOVED) and not named:
            # One that begins a chain is larger than those to come.
            typical = min(count_bytes, _SURPRISE * self._expected_bytes)
            self._expected_bytes += _LEARNING * (typical - self._expected_bytes)
        self._sent_time = time
        self._gain_since = None
        self._last_reason = reason
        self._requested = False
        if reason is not ReferenceReason.SCENE:
            self._owed = False

    def _note_gain(self, now: Situation) -> None:
        """Follow the gain, smoothed, and what was missed since the last reference came into use."""
        if now.gain_db is None or now.awaiting:
            return
        gain_db = max(now.gain_db, 0.0)
        if self._gain_since is None:
            self._gain_since = self._gain_time = now.time
            self._gain_db, self._missed_db_s = gain_db, 0.0
            return
        step_s = min(max(now.time - self._gain_time, 0.0), _LONGEST_STEP_S)
        self._gain_time = now.time
        self._gain_db += step_s / (step_s + _SMOOTHING_S) * (gain_db - self._gain_db)
        self._missed_db_s += self._gain_db * step_s

    def _pays(self, time: float) -> bool:
        """Whether a reference now saves more than it costs; see the top of the file."""
        if self._gain_since is None or self._gain_db < self._config.least_gain_db:
            return False
        affordable = self._bucket.level_bytes(time) / self._expected_bytes
        if affordable >= _PLENTY:
            return True
        saved_db_s = self._gain_db * (time - self._gain_since) - self._missed_db_s
        price_db_s = self._config.price_db_s * self._expected_bytes / 1000 * max(2 - affordable, 0.0)
        return saved_db_s > max(price_db_s, _LEAST_SAVED_DB_S)

    def _burst_bytes(self, rate_bps: float) -> int:
        return max(self._config.least_burst_bytes, int(rate_bps / 8 * self._config.burst_s))
