"""What is heard where sound is missing, and how its pace is changed without a click (pure, float32 samples at 48 kHz).

* A gap goes on with the last pitch period, over and over, and fades: full for 20 ms, gone after 80 ms (the idea of
  ITU-T G.711 Appendix I). What comes after it is faded in over 5 ms.
* Sound is drawn out or shortened by one pitch period that overlaps with its neighbour (WSOLA, Verhelst and Roelands,
  ICASSP 1993): pitch stays.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 48_000

Samples = npt.NDArray[np.float32]

_SHORTEST_PERIOD = 120  # 400 Hz
_LONGEST_PERIOD = 720  # 67 Hz
_COARSE = 4
_HISTORY = 2 * _LONGEST_PERIOD
_FULL = SAMPLE_RATE_HZ * 20 // 1000
_GONE = SAMPLE_RATE_HZ * 80 // 1000
_FADE = SAMPLE_RATE_HZ * 5 // 1000
_STEP_FADE = 96


class Concealer:
    """Carries sound on over a gap that begins where the given sound ends."""

    def __init__(self, history: Samples) -> None:
        """history: the samples heard last, the more the better up to 30 ms; may be empty."""
        self._given = 0 if np.any(history) else _GONE
        padded = np.zeros(_HISTORY, np.float32)
        kept = history[-_HISTORY:]
        padded[_HISTORY - len(kept) :] = kept
        period = pitch_period(padded, _LONGEST_PERIOD - 1)
        cycle = padded[-period:].copy()
        quarter = period // 4
        rise = np.linspace(0, 1, quarter, dtype=np.float32)
        cycle[-quarter:] = cycle[-quarter:] * (1 - rise) + padded[-period - quarter : -period] * rise
        self._cycle = cycle
        self._step = float(padded[-1] - padded[-period - 1])

    @property
    def silent(self) -> bool:
        """Whether nothing is left to be heard."""
        return self._given >= _GONE

    def take(self, count: int) -> Samples:
        """The next samples, float32 [count]."""
        places = np.arange(self._given, self._given + count)
        self._given += count
        gain = np.clip((_GONE - places) / (_GONE - _FULL), 0, 1)
        # Where the last period does not end as it began, the step is spread over two milliseconds.
        spread = self._step * np.clip(1 - places / _STEP_FADE, 0, 1)
        carried: Samples = ((self._cycle[places % len(self._cycle)] + spread) * gain).astype(np.float32)
        return carried

    def join(self, samples: Samples) -> Samples:
        """Fade from what would be carried on to real sound, float32 [n]."""
        count = min(_FADE, len(samples))
        rise = np.linspace(0, 1, count, dtype=np.float32)
        joined = samples.copy()
        joined[:count] = self.take(count) * (1 - rise) + samples[:count] * rise
        return joined


def pitch_period(samples: Samples, longest: int) -> int:
    """The shift, 120 to `longest` samples, at which the end of this sound is most like itself."""
    coarse = samples[-2 * longest :: _COARSE].astype(np.float64)
    least, most = _SHORTEST_PERIOD // _COARSE, max(longest // _COARSE, _SHORTEST_PERIOD // _COARSE)
    window = len(coarse) - most
    if window < least:
        return _SHORTEST_PERIOD
    end = coarse[-window:]
    likeness = np.correlate(coarse, end, "valid")[::-1]  # at shift 0, 1, ... most
    power = np.convolve(np.square(coarse), np.ones(window), "valid")[::-1]
    score = likeness[least:] / np.sqrt(power[least:] + 1e-9)
    return int(least + np.argmax(score)) * _COARSE


def longer(samples: Samples, most: int) -> Samples:
    """The same sound drawn out by a pitch period of at most `most` samples; as it is when none fits in."""
    period = _fitting_period(samples, most)
    if period is None:
        return samples
    fall = np.linspace(1, 0, period, dtype=np.float32)
    over = samples[period : 2 * period] * fall + samples[:period] * (1 - fall)
    return np.concatenate([samples[:period], over, samples[period:]])


def shorter(samples: Samples, most: int) -> Samples:
    """The same sound shortened by a pitch period of at most `most` samples; as it is when none fits in."""
    period = _fitting_period(samples, most)
    if period is None:
        return samples
    fall = np.linspace(1, 0, period, dtype=np.float32)
    over = samples[:period] * fall + samples[period : 2 * period] * (1 - fall)
    return np.concatenate([over, samples[2 * period :]])


def _fitting_period(samples: Samples, most: int) -> int | None:
    longest = min(len(samples) // 2, most, _LONGEST_PERIOD)
    if longest < _SHORTEST_PERIOD:
        return None
    return min(pitch_period(samples[: 2 * longest], longest), longest)
