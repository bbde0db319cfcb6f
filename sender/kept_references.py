"""Pictures of earlier calls that the receiver keeps as well: named instead of sent.

    earlier calls --> keeps these --+                                     +--> the one that suits the frame, or none
                                    +--> both keep these --> best(look) --+
    receiver: "I keep these" -------+                                     +--> refused: never named again in this call

Which picture suits a frame is guessed as for any reference (`sender.look`). How much it may lose depends on what else
there is: with nothing on the receiver's screen, a picture of the same person in the same place will do. Another person
must never be shown. Over 341 pictures of 91 people the guess was 8.0 dB or more for any two people (114,680
pairs, some in one studio and one light), and below 7 dB for every second pair of pictures from one clip. Where the
guess leaves it open, the frame is rebuilt from the picture: from another person's it came to 20.5 dB at most (45 clips,
the two pictures of others that look most alike), from one of the same clip to 22 dB and more in three cases of four.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from adasr_core.bitstream.kept_picture import MARK_BYTES, Image, KeptPicture, kept_mark
from adasr_core.bitstream.kept_selection import KeptSelection
from adasr_core.geometry import MotionParameters
from sender.look import Look, loss_matrix_db

_MOST_MEASURED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptConfig:
    """When a kept picture is good enough."""

    hurried_loss_db: float = 7.0
    """Most that a rebuild may lose by it, as guessed, while the receiver has nothing to show; decibels."""
    measured_loss_db: float = 12.0
    """Up to here the frame is rebuilt from it, to see how good it is, where the sender can; decibels."""
    measured_quality_db: float = 22.0
    """Least quality of that rebuild, see `closed_loop.picture_quality_db`; decibels."""
    loss_db: float = 1.3
    """The same for any other reference: a new one of another moment loses as much before it is there."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("hurried_loss_db", "measured_loss_db", "measured_quality_db", "loss_db"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 0 or more")


@dataclass(frozen=True, slots=True, eq=False)
class KeptLook:
    """A picture that this end keeps. name: 16 bytes. look: of the picture, with its own parameters."""

    name: bytes
    look: Look

    @classmethod
    def of(cls, kept: KeptPicture) -> KeptLook:
        """The look of a kept picture.

        Raises:
            ValueError: it has no parameters.
        """
        if kept.parameters is None:
            raise ValueError(f"kept picture {kept.name.hex()}: got no parameters, expected those of its own frame")
        return cls(kept.name, Look.of(kept.picture, kept.parameters))


class KeptReferences:
    """What one sender keeps, what its receiver keeps too, and what of this call is to be kept."""

    def __init__(
        self,
        codec_id: str,
        looks: Sequence[KeptLook] = (),
        load: Callable[[bytes], KeptPicture | None] = lambda name: None,
        config: KeptConfig | None = None,
    ) -> None:
        """Nothing is named before `take_marks`.

        codec_id: 16 hex digits. looks: of earlier calls' pictures. load: gets one of them by name; None when it is no
        longer there.
        """
        self._config = config if config is not None else KeptConfig()
        self._looks = {one.name: one for one in looks}
        self._load = load
        self._shared: dict[bytes, KeptLook] = {}
        self._selection = KeptSelection(codec_id)

    @property
    def shared(self) -> int:
        """Pictures that may be named."""
        return len(self._shared)

    @property
    def pictures(self) -> tuple[KeptPicture, ...]:
        """What is to be kept of this call."""
        return self._selection.pictures

    def take_marks(self, salt: bytes, marks: bytes) -> None:
        """The receiver keeps the pictures of these marks, see `adasr_core.bitstream.kept_picture`."""
        told = {marks[start : start + MARK_BYTES] for start in range(0, len(marks), MARK_BYTES)}
        self._shared = {name: one for name, one in self._looks.items() if kept_mark(salt, name) in told}

    def best(
        self,
        look: Look,
        *,
        hurried: bool,
        in_use: Collection[bytes] = (),
        measure: Callable[[KeptPicture, Look], float] | None = None,
    ) -> tuple[KeptPicture, Look] | None:
        """The picture to name for a frame that looks like this, and its look; None when none is good enough.

        hurried: the receiver cannot show anything right yet. in_use: names that it holds in its bank already.
        measure: rebuilds the frame from a picture and its look, and says how good that is, decibels; None where the
        sender cannot. Asked twice at most.
        """
        most_db = self._config.hurried_loss_db if hurried else self._config.loss_db
        for measured, (loss_db, kept, its_look) in enumerate(self._nearest(look, in_use)):
            if loss_db <= most_db:
                return kept, its_look
            if not hurried or measure is None or loss_db > self._config.measured_loss_db or measured == _MOST_MEASURED:
                return None
            if measure(kept, its_look) >= self._config.measured_quality_db:
                return kept, its_look
        return None

    def _nearest(self, look: Look, in_use: Collection[bytes]) -> Iterator[tuple[float, KeptPicture, Look]]:
        """Guessed loss, picture and look of what may be named, the least loss first; what is gone is refused."""
        candidates = [one for name, one in self._shared.items() if name not in in_use]
        if not candidates:
            return
        losses_db = loss_matrix_db([look], [one.look for one in candidates])[0]
        for index in losses_db.argsort():
            chosen = candidates[index]
            kept = self._load(chosen.name)
            if kept is None:
                self.refuse(chosen.name)
            else:
                yield float(losses_db[index]), kept, chosen.look

    def refuse(self, name: bytes) -> None:
        """The receiver, or this end, has it no longer: it is not named again."""
        self._shared.pop(name, None)

    def note_reference(self, picture: Image, parameters: MotionParameters) -> None:
        """The receiver holds this reference: uint8 [S, S, 3] as decoded, and its parameters as detected."""
        self._selection.add_reference(picture, parameters)

    def note_anchor(self, unit: bytes, picture: Image, parameters: MotionParameters) -> None:
        """This anchor went out; unit: its picture field. Other arguments as those of `note_reference`."""
        self._selection.add_anchor(unit, picture, parameters)
