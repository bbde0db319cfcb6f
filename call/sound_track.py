"""Where blocks of sound come in a film whose times are capture times (pure).

What is heard is drawn out, shortened and carried on by the jitter buffer, a film shall keep the times of its pictures:
blocks follow each other as they are, until they are 40 ms from their place; then silence is put in or sound left out.
"""

from __future__ import annotations

import numpy as np

from receiver.audio_concealment import SAMPLE_RATE_HZ, Samples

_TOLERANCE = SAMPLE_RATE_HZ * 40 // 1000
_WRAP_S = 65.536
_LONGEST_PAUSE = 120 * SAMPLE_RATE_HZ


class SoundTrack:
    """The sound of a film that begins at its first picture."""

    def __init__(self, first_picture_s: float) -> None:
        """first_picture_s: its capture time on the sender's clock."""
        self._begin_s = first_picture_s
        self._written = 0

    def place(self, samples: Samples, capture_s: float) -> Samples:
        """What to append for a block recorded at `capture_s`, known modulo 65.536 s; empty when it has no place."""
        near_s = self._begin_s + self._written / SAMPLE_RATE_HZ
        offset_s = (capture_s - near_s + _WRAP_S / 2) % _WRAP_S - _WRAP_S / 2
        ahead = round(offset_s * SAMPLE_RATE_HZ)
        if ahead > _TOLERANCE:
            pause = np.zeros(min(ahead, _LONGEST_PAUSE), np.float32)
            samples = np.concatenate([pause, samples])
        elif ahead < -_TOLERANCE or (self._written == 0 and ahead < 0):
            samples = samples[-ahead:]
        self._written += len(samples)
        return samples
