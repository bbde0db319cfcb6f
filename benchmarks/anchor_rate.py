"""Which quality of anchors meets a wire rate: the counterpart of the quality search that ordinary encoders get."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.av1_chain import Av1ChainConfig, Av1ChainEncoder
from benchmarks.offline_line import OfflineLineConfig, anchor_wire_bytes, piece_bytes, reference_wire_bytes
from benchmarks.wire_rate_search import RateTarget, finest_within

Image = npt.NDArray[np.uint8]

BEST_CRF, WORST_CRF, CRF_STEP = 30.0, 70.0, 0.25
_ANCHOR_HEAD_BYTES = 3
_PRESET = 7


class AnchorRate:
    """The anchors of one clip at one interval; what was coded once is remembered."""

    def __init__(
        self,
        pictures: Sequence[Image],
        *,
        seconds: float,
        motion_bytes: int,
        first_head_bytes: int,
        line: OfflineLineConfig,
    ) -> None:
        """Note what does not hang on the quality.

        Args:
            pictures: the first picture and all anchors, uint8 [S, S, 3].
            seconds: length of the clip.
            motion_bytes: of motion on the wire, over the clip.
            first_head_bytes: of the first reference packet beside its picture.
            line: how packets are cut into pieces.
        """
        if not pictures:
            raise ValueError("pictures: got none, expected the first picture at least")
        self._pictures = pictures
        self._seconds = seconds
        self._motion_bytes = motion_bytes
        self._first_head_bytes = first_head_bytes
        self._line = line
        self._known: dict[float, tuple[int, int]] = {}

    def crf(self, target: RateTarget) -> float | None:
        """The finest quality within the target; None where even the coarsest is above it."""
        return finest_within(lambda value: self.wire_kbps(value, target), target.kbps, BEST_CRF, WORST_CRF, CRF_STEP)

    def wire_kbps(self, crf: float, target: RateTarget) -> float:
        """The rate at a quality that is held against the target, headers of all layers included."""
        if crf not in self._known:
            self._known[crf] = self._code(crf)
        first, anchors = self._known[crf]
        counted = first if target.first_picture_counts else 0
        return (counted + anchors + self._motion_bytes) * 8 / 1000 / self._seconds

    def _code(self, crf: float) -> tuple[int, int]:
        """Wire bytes of the first picture and of all anchors."""
        encoder = Av1ChainEncoder(0, self._pictures[0].shape[0], Av1ChainConfig(crf=crf, steady=False, preset=_PRESET))
        sizes = [len(encoder.encode(picture)) for picture in self._pictures]
        most = self._line.anchor_body_bytes
        first = reference_wire_bytes(piece_bytes(self._first_head_bytes + sizes[0], most), alone=True)
        anchors = sum(anchor_wire_bytes(piece_bytes(_ANCHOR_HEAD_BYTES + size, most)) for size in sizes[1:])
        return first, anchors
