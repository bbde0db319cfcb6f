"""The references that the receiver holds, as the sender knows it.

The sender alone decides: it names a slot for every reference, a slot used again gets the next generation, and a
motion packet only names a reference that was acknowledged. While a new reference is on its way the old ones stay in
use; so one slot more than the bank's size is in play, where there is one. When the bank is full, that reference goes
whose loss the recent poses would miss least.

Which reference suits a frame is guessed from how the two look (`sender.look`); every rebuild that the sender measures
corrects the guess for the reference it used.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from adasr_core.bitstream.packets import GENERATIONS, REFERENCE_SLOTS
from adasr_core.engines import ReferenceFeatures
from adasr_core.geometry import MotionParameters, SquareCrop
from sender.look import Look, loss_matrix_db
from sender.reference_pictures import CodedPicture

_LOOKS_KEPT = 64
_UNMEASURED_DB = 30.0
_LEARNING = 0.3
_FRESH_LOSS_DB = 0.8
"""So much a rebuild has lost already when a new reference of a talking head has come through."""


@dataclass(slots=True, eq=False)
class SentReference:
    """A reference that was sent.

    parameters: as the receiver decodes them. look: of its picture before coding. coded: the picture until the features
    are made of it. own_db: quality of a rebuild of its own frame, as estimated from the measured rebuilds; None before
    the first. scene: shows a place without a face. kept: the name of its picture, when it is one of an earlier call.
    """

    slot: int
    generation: int
    parameters: MotionParameters
    look: Look
    crop: SquareCrop
    sent_time: float
    scene: bool
    coded: CodedPicture | None
    acknowledged: bool = False
    features: ReferenceFeatures | None = None
    own_db: float | None = None
    kept: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BankConfig:
    """Size of the bank and how a reference is chosen."""

    size: int = 8
    """References in use at a time, 1 to 16."""
    switch_gain_db: float = 0.5
    """Another reference must promise this much more than the one in use: switching back and forth flickers."""
    noise_db: float = 2.0
    """Differences between references up to this are taken for noise of the guess."""
    look_interval_s: float = 0.4
    """Looks are noted this often, seconds; the last 64 decide which reference is dispensable."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if not 1 <= self.size <= REFERENCE_SLOTS:
            raise ValueError(f"size: got {self.size}, expected 1..{REFERENCE_SLOTS}")
        for name in ("switch_gain_db", "noise_db", "look_interval_s"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")


class SentReferences:
    """Slots, generations, acknowledgements, and the choice among references."""

    def __init__(self, config: BankConfig) -> None:
        self._config = config
        self._held: dict[int, SentReference] = {}
        self._uses: dict[int, int] = {}
        self._slots = min(config.size + 1, REFERENCE_SLOTS)
        self._looks: deque[Look] = deque(maxlen=_LOOKS_KEPT)
        self._look_time: float | None = None
        self._current: SentReference | None = None
        self._retire_until: float | None = None
        self._first_own_db: float | None = None

    @property
    def awaiting(self) -> bool:
        """Whether a reference is sent and not acknowledged."""
        return any(not reference.acknowledged for reference in self._held.values())

    @property
    def awaited_kept(self) -> bytes | None:
        """The name of the kept picture that is sent as a reference and not acknowledged; None: there is none."""
        names = (reference.kept for reference in self._held.values() if not reference.acknowledged)
        return next((name for name in names if name is not None), None)

    @property
    def kept(self) -> frozenset[bytes]:
        """Names of the kept pictures among the references."""
        return frozenset(reference.kept for reference in self._held.values() if reference.kept is not None)

    @property
    def current(self) -> SentReference | None:
        """The reference named by the latest motion packet."""
        return self._current

    def usable(self, *, scene: bool = False) -> list[SentReference]:
        """Acknowledged references that show a face (or, with `scene`, a place without one), by slot."""
        held = sorted(self._held.values(), key=lambda reference: reference.slot)
        return [reference for reference in held if reference.acknowledged and reference.scene == scene]

    def place(self) -> tuple[int, int]:
        """Slot and generation for the next reference; makes room, so the old occupant is forgotten.

        A reference that was never acknowledged gives way first.
        """
        for reference in [r for r in self._held.values() if not r.acknowledged]:
            self._forget(reference)
        if len(self._held) >= self._slots:
            self._forget(self._dispensable())
        # The slot longest unused, so that packets still under way seldom meet a new occupant.
        free = [slot for slot in range(self._slots) if slot not in self._held]
        slot = min(free, key=lambda s: (self._uses.get(s, 0), s))
        return slot, self._uses.get(slot, 0) % GENERATIONS

    def add(self, reference: SentReference) -> None:
        """Note a reference that was sent at the place that `place` named."""
        self._uses[reference.slot] = self._uses.get(reference.slot, 0) + 1
        self._held[reference.slot] = reference

    def acknowledge(self, slot: int, generation: int) -> bool:
        """The receiver holds this reference. False when it is no longer, or was never, known here."""
        reference = self._held.get(slot)
        if reference is None or reference.generation != generation:
            return False
        if not reference.acknowledged:
            reference.acknowledged = True
            if self._retire_until is not None and reference.sent_time > self._retire_until:
                for old in [r for r in self._held.values() if r.sent_time <= self._retire_until]:
                    self._forget(old)
                self._retire_until = None
            while len([r for r in self._held.values() if r.acknowledged]) > self._config.size:
                self._forget(self._dispensable(spare=reference))
        return True

    def distrust_until(self, time: float) -> None:
        """Drop everything sent up to `time` as soon as something newer is acknowledged."""
        self._retire_until = time

    def note_look(self, look: Look, time: float) -> None:
        """Remember a look now and then, for the choice of what to drop."""
        if self._look_time is None or not 0 <= time - self._look_time < self._config.look_interval_s:
            self._look_time = time
            self._looks.append(look)

    @property
    def fresh_quality_db(self) -> float | None:
        """What a new reference should give a moment after it was sent; None before the first measurement.

        Of each reference so far the first measurement counts: later ones also tell how it aged.
        """
        return None if self._first_own_db is None else self._first_own_db - _FRESH_LOSS_DB

    def gain_db(self, look: Look) -> float | None:
        """What a new reference should gain over the best one for a frame that looks like this; None without any."""
        ranked = self.ranked(look)
        if not ranked:
            return None
        return self._usual_db - _FRESH_LOSS_DB - self.guess_db(ranked[0], look)

    def guess_db(self, reference: SentReference, look: Look) -> float:
        """How well this reference should rebuild such a frame; dB, see `closed_loop.picture_quality_db`."""
        return self._own_db(reference) - look.loss_db(reference.look)

    def ranked(self, look: Look) -> list[SentReference]:
        """Usable references with a face, the most promising first."""
        return sorted(self.usable(), key=lambda reference: -self.guess_db(reference, look))

    def choose(self, look: Look) -> SentReference | None:
        """The reference for this frame; the one in use stays unless another is clearly better."""
        ranked = self.ranked(look)
        if not ranked:
            return None
        best, current = ranked[0], self._current
        if current is not None and current in ranked:
            gain_db = self.guess_db(best, look) - self.guess_db(current, look)
            if gain_db < self._config.switch_gain_db:
                best = current
        self._current = best
        return best

    def nearest(self, parameters: MotionParameters) -> SentReference | None:
        """The acknowledged reference, scenes too, of the nearest pose: a new one's parameters are coded against it."""
        held = [reference for reference in self._held.values() if reference.acknowledged]
        return min(held, key=lambda r: r.parameters.distance(parameters), default=None)

    def choose_scene(self) -> SentReference | None:
        """The latest acknowledged picture of the place without a face."""
        scenes = self.usable(scene=True)
        self._current = max(scenes, key=lambda reference: reference.sent_time) if scenes else self._current
        return self._current if scenes else None

    def measured(self, reference: SentReference, look: Look, quality_db: float) -> None:
        """A rebuild of such a frame with this reference had this quality."""
        own_db = quality_db + look.loss_db(reference.look)
        if reference.own_db is None:
            reference.own_db = own_db
            known_db = own_db if self._first_own_db is None else self._first_own_db
            self._first_own_db = 0.5 * (known_db + own_db)
        else:
            reference.own_db += _LEARNING * (own_db - reference.own_db)

    @property
    def _usual_db(self) -> float:
        return _UNMEASURED_DB if self._first_own_db is None else self._first_own_db

    def _own_db(self, reference: SentReference) -> float:
        """Quality at its own frame; small differences between references are noise of the guess, large ones count."""
        usual_db = self._usual_db
        if reference.own_db is None:
            return usual_db
        difference_db = reference.own_db - usual_db
        return usual_db + math.copysign(max(abs(difference_db) - self._config.noise_db, 0.0), difference_db)

    def _dispensable(self, spare: SentReference | None = None) -> SentReference:
        """The acknowledged reference that the recent looks would miss least; scenes and old ones first."""
        held = [r for r in self._held.values() if r is not spare]
        scenes = [r for r in held if r.scene]
        if scenes:
            return min(scenes, key=lambda reference: reference.sent_time)
        if not self._looks or len(held) == 1:
            return min(held, key=lambda reference: reference.sent_time)
        everything = held if spare is None else [*held, spare]
        own_db = np.array([self._own_db(reference) for reference in everything])
        scores = own_db - loss_matrix_db(list(self._looks), [reference.look for reference in everything])
        left = [float(np.delete(scores, i, axis=1).max(axis=1).sum()) for i in range(len(held))]
        return min(zip(left, held, strict=True), key=lambda pair: (-pair[0], pair[1].sent_time))[1]

    def _forget(self, reference: SentReference) -> None:
        del self._held[reference.slot]
        if self._current is reference:
            self._current = None
