"""What the person in the sample clip does at every moment: turns, nods, blinks, speech.

All curves have the clip's own period, so that the clip can be played in a loop without a jump.
"""

import math
from dataclasses import dataclass

PERIOD_S = 8.0
BLINKS_S = (1.3, 3.55, 4.0, 6.4)
PHRASES_S = ((0.35, 2.5), (2.95, 5.1), (5.6, 7.55))
SYLLABLE_S = 0.21


@dataclass(frozen=True, slots=True)
class Performance:
    """The state of the person at one moment. Right and down are those of the picture.

    Attributes:
        yaw_rad: turn of the head; positive towards the right.
        pitch_rad: nod; positive downwards.
        roll_rad: tilt of the head; positive clockwise.
        shift_px: sideways shift of the head in pixels of the source portrait.
        jaw_px: travel of the lower lip in pixels of the source portrait; 0 is the portrait's smile, negative closes.
        narrow: 0 for the portrait's own smile to about 0.3 for rounded lips.
        blink: 0 for open eyes to 1 for closed ones.
        brow_px: rise of the brows in pixels of the source portrait.
        gaze_px: sideways travel of the irises in pixels of the source portrait.
    """

    yaw_rad: float
    pitch_rad: float
    roll_rad: float
    shift_px: float
    jaw_px: float
    narrow: float
    blink: float
    brow_px: float
    gaze_px: float


def performance_at(time_s: float) -> Performance:
    """Say what the person does at a time; at 0 the head is straight and the mouth at rest.

    Args:
        time_s: seconds from the beginning of the clip; any real number, the clip repeats.
    """
    time_s %= PERIOD_S
    voice = _voice(time_s)
    open_mouth = _syllables(time_s)
    yaw_deg = 15.0 * _wave(time_s, 1) + 6.0 * _wave(time_s, 2) - 2.0 * _wave(time_s, 5)
    nod_deg = 3.0 * _wave(time_s, 3) - 1.6 * _wave(time_s, 7) + 2.5 * open_mouth * voice
    return Performance(
        yaw_rad=math.radians(yaw_deg),
        pitch_rad=math.radians(nod_deg),
        roll_rad=math.radians(3.5 * _wave(time_s, 2) - 1.5 * _wave(time_s, 3)),
        shift_px=2.5 * _wave(time_s, 1) + 1.0 * _wave(time_s, 4),
        jaw_px=-4.0 * voice + 10.5 * open_mouth,
        narrow=voice * (0.18 + 0.1 * _wave(time_s, 11)) + 0.1 * open_mouth,
        blink=max(_bump(time_s, centre, 0.085) for centre in BLINKS_S),
        brow_px=2.2 * (_bump(time_s, 0.9, 0.3) + _bump(time_s, 4.5, 0.4) + _bump(time_s, 6.0, 0.25)),
        gaze_px=-0.06 * yaw_deg,
    )


def _wave(time_s: float, harmonic: int) -> float:
    """A sine that is 0 at the beginning and fits the period a whole number of times."""
    return math.sin(2.0 * math.pi * harmonic * time_s / PERIOD_S)


def _bump(time_s: float, centre_s: float, width_s: float) -> float:
    """A Gaussian of height 1 at centre_s."""
    return math.exp(-(((time_s - centre_s) / width_s) ** 2))


def _voice(time_s: float) -> float:
    """1 within a phrase, 0 between phrases, with soft edges."""
    edge_s = 0.12
    return max(
        0.25 * (1.0 + math.tanh((time_s - start) / edge_s)) * (1.0 + math.tanh((end - time_s) / edge_s))
        for start, end in PHRASES_S
    )


def _syllables(time_s: float) -> float:
    """Opening of the mouth, 0 to 1: one bump a syllable, uneven in height and rhythm as speech is."""
    opening = 0.0
    for start, end in PHRASES_S:
        count = int((end - start) / SYLLABLE_S)
        for index in range(count):
            uneven = math.sin(12.9898 * index + 78.233 * start)
            centre_s = start + (index + 0.5 + 0.22 * uneven) * SYLLABLE_S
            height = 0.62 + 0.38 * math.sin(7.13 * index + 3.1 * start)
            opening += height * _bump(time_s, centre_s, 0.075)
    return min(opening, 1.0)
