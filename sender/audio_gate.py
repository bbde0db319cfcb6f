"""Silence is not sent: which frames of a microphone hold sound (pure).

    level of a frame --> above the room's noise by 8 dB and above -60 dBFS, or above -38 dBFS --> open
                         after that it stays open for 240 ms, so that words keep their ends

The room's noise is the least level of the last seconds. Whatever is louder than -38 dBFS passes at once: steady music
is no noise.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

_WINDOW_S = 4.0
_ABOVE_NOISE_DB = 8.0
_SURELY_SOUND_DB = -38.0
_SURELY_SILENT_DB = -60.0
_HANG_S = 0.24
_LEAST_POWER = 1e-12


class AudioGate:
    """Follows the level of frames of one duration."""

    def __init__(self, frame_s: float) -> None:
        """frame_s: duration of a frame, seconds."""
        self._levels: deque[float] = deque(maxlen=round(_WINDOW_S / frame_s))
        self._hang_frames = round(_HANG_S / frame_s)
        self._open_for = 0

    def passes(self, samples: npt.NDArray[np.float32]) -> bool:
        """Whether this frame, float32 [n] of -1 to 1, is to be sent."""
        level = 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + _LEAST_POWER))
        noise = min(self._levels, default=_SURELY_SILENT_DB)
        self._levels.append(level)
        if level > _SURELY_SOUND_DB or level > max(noise + _ABOVE_NOISE_DB, _SURELY_SILENT_DB):
            self._open_for = self._hang_frames
            return True
        self._open_for -= 1
        return self._open_for >= 0
