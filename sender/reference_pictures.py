"""Reference pictures as bytes: a slow AV1 stream, each picture coded against the ones before it, or AVIF stills.

    FIRST, request, loss --> new chain: [key unit] --> [unit] --> [unit] --> ... --> another quality

    FIRST ------------------> new chain: [key unit] --> [anchor] --> [anchor] --> ...

A chain has one quality for all its units. When they turn out much smaller or larger than the rate pays for, another
begins, finer or coarser. A unit means nothing without those before it, so the sender says when the receiver may miss
one: then a new chain begins with the next picture. A key unit is also the cheapest still: 1 to 3 kB. With anchors in
the plan a chain is coded for pictures at even intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.av1_chain import (
    Av1ChainConfig,
    Av1ChainDecoder,
    Av1ChainEncoder,
    EncoderStalledError,
)
from adasr_core.bitstream.packets import PICTURE_AV1_CHAIN, PICTURE_AVIF
from adasr_core.bitstream.picture import decode_picture, encode_picture
from sender.rate_plan import RatePlan

Image = npt.NDArray[np.uint8]

_CHAINS = 256
_JUDGED_UNITS = 3
_JUDGED_EVEN_UNITS = 16
_STEADY_CHAIN = (5.0, 3.0, 2.5)
"""A new chain when the quality is off by so many steps of crf, and its key unit, which costs as much as so many others,
is paid for within so many seconds."""
_EVEN_CHAIN = (4.5, 20.0, 8.0)
"""The same for a pyramid, whose units differ much and whose key unit is finer than what follows."""
_FAR_MORE, _AFFORDED_BPS, _CAREFUL_STEP = 1.5, 8_000.0, 2.0
"""A call that began with care, since the line might have been slow, and turns out to have so much for anchors, far more
than was known then: fewer steps are enough."""
_LARGEST_STEP = 10
_HALVING_CRF = 8.0
"""Measured on talking heads: so much more crf halves a unit."""
_HEAD_BYTES = 45
"""Of a reference packet beside its picture: head, check and parameters against another reference."""
_LEARNING = 0.3
_EVEN_LEARNING = 0.1
_ANCHOR_HEAD_BYTES = 5
_FIRST_SHARE = 0.8
_EXPECTED_FRAME_S = 0.04
_ANCHOR_CRF = (62.0, 190.0, 4.5)
"""Measured on talking heads, 4 to 8 frames apart: at this crf so many bytes; so much more crf halves them."""
_ANCHOR_CRF_RANGE = (30.0, 69.0)


class PictureCoding(StrEnum):
    """How reference pictures are coded."""

    AV1 = "av1"
    STILLS = "stills"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureConfig:
    """Quality and kind of reference pictures."""

    coding: PictureCoding = PictureCoding.AV1
    """AV1: a chain, begun by its key unit. STILLS: AVIF alone. BOTH: AVIF while the receiver waits, else a chain."""
    first_still_quality: int = 30
    """AVIF quality of a still that the receiver waits for, 1 to 100: small, to be there at once."""
    still_quality: int = 40
    """AVIF quality of other stills, 1 to 100."""
    crf_steps: tuple[tuple[float, int], ...] = ((0.0, 50), (8000.0, 46))
    """(from this rate of references on in bits a second, this crf of the first chain), rates rising from 0."""
    crf_range: tuple[int, int] = (32, 56)
    """Finest and coarsest quality that chains are brought to when their units turn out small or large, 1 to 63."""
    unit_interval_s: float = 0.4
    """So often a unit shall be affordable, seconds: finer units more seldom, or coarser ones more often."""
    preset: int = 8
    """SVT-AV1's speed, 4 (slow) to 12."""
    anchor_preset: int = 7
    """The same for anchors."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("first_still_quality", "still_quality"):
            if not 1 <= getattr(self, name) <= 100:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 1..100")
        rates = [rate for rate, _ in self.crf_steps]
        if not rates or rates[0] != 0 or rates != sorted(set(rates)):
            raise ValueError(f"crf_steps: got rates {rates}, expected rising ones from 0")
        for crf in (*self.crf_range, *(crf for _, crf in self.crf_steps)):
            Av1ChainConfig(crf=crf, preset=self.preset)
        if self.crf_range[0] > self.crf_range[1]:
            raise ValueError(f"crf_range: got {self.crf_range}, expected the finest first")
        if not self.unit_interval_s > 0:
            raise ValueError(f"unit_interval_s: got {self.unit_interval_s}, expected more than 0")

    @property
    def expected_bytes(self) -> float:
        """What a reference should cost, until it is known better."""
        return 7000.0 if self.coding is PictureCoding.STILLS else 1000.0

    def crf(self, reference_bps: float) -> int:
        """Quality of a chain at this rate of references."""
        return [crf for rate, crf in self.crf_steps if rate <= reference_bps][-1]


@dataclass(frozen=True, slots=True, eq=False)
class CodedPicture:
    """A reference picture as it is sent.

    codec: PICTURE_AVIF, PICTURE_AV1_CHAIN, or PICTURE_KEPT for one that is named and not coded. data: the packet's
    picture field. key: decodes without any other picture. shown: what the receiver sees, where it is known already.
    """

    codec: int
    data: bytes
    key: bool
    frame_px: int
    shown: Image | None

    def decode(self) -> Image:
        """What the receiver sees: uint8 [frame_px, frame_px, 3]."""
        return decode_picture(self.data, self.frame_px) if self.shown is None else self.shown


class ReferencePictures:
    """Codes the reference pictures of one video, in the order in which they are sent."""

    def __init__(self, frame_px: int, config: PictureConfig) -> None:
        self._frame_px = frame_px
        self._config = config
        self._encoder: Av1ChainEncoder | None = None
        self._decoder = Av1ChainDecoder(frame_px)
        self._chains = 0
        self._crf = 0.0
        self._begun_bps = 0.0
        self._unit_bytes: float | None = None
        self._plan = RatePlan()
        self._steady = True

    def set_plan(self, plan: RatePlan) -> None:
        """What pictures may cost from now on. With anchors, or without any more, the sizes known so far say nothing."""
        if (plan.anchor_frames == 0) != (self._plan.anchor_frames == 0):
            self._unit_bytes = None
        self._plan = plan

    def break_chain(self) -> None:
        """The receiver may miss a unit: the next picture of a chain begins a new one."""
        self._encoder = None

    def encode(self, picture: Image, *, reference_bps: float, hurried: bool) -> CodedPicture:
        """Code the next picture.

        picture: uint8 [frame_px, frame_px, 3]. reference_bps: rate of references, bits a second. hurried: the
        receiver cannot show anything right without it.

        Raises:
            OSError: the encoder is not there, or failed.
        """
        config = self._config
        if config.coding is PictureCoding.STILLS or (config.coding is PictureCoding.BOTH and hurried):
            quality = config.first_still_quality if hurried else config.still_quality
            return CodedPicture(PICTURE_AVIF, encode_picture(picture, quality), True, self._frame_px, None)
        return self._encode(picture, reference_bps)

    def encode_anchor(self, picture: Image) -> CodedPicture:
        """Code the picture of an anchor, at the plan's rate or quality; uint8 [frame_px, frame_px, 3].

        Raises:
            OSError: the encoder is not there, or failed.
        """
        return self._encode(picture, self._plan.reference_bps)

    def _encode(self, picture: Image, reference_bps: float) -> CodedPicture:
        """The next picture of the chain, or the first of a new one."""
        encoder = self._encoder
        wanted = self._wanted_crf(reference_bps)
        if encoder is None or self._worth_a_chain(encoder, wanted, reference_bps):
            self._unit_bytes = None if self._unit_bytes is None else self._unit_bytes * _ratio(wanted - self._crf)
            self._crf = wanted
            self._begun_bps = reference_bps
            self._steady = self._plan.anchor_frames == 0
            encoder = self._begin_chain()
        self._encoder = None  # until the picture is coded: a chain that failed does not go on
        key = encoder.units == 0
        try:
            data = encoder.encode(picture)
        except EncoderStalledError:
            key, encoder = True, self._begin_chain()
            data = encoder.encode(picture)
        shown = self._decoder.decode(data)
        self._encoder = encoder
        if not key:
            known = len(data) if self._unit_bytes is None else self._unit_bytes
            learning = _LEARNING if self._steady else _EVEN_LEARNING
            self._unit_bytes = known + learning * (len(data) - known)
        return CodedPicture(PICTURE_AV1_CHAIN, data, key, self._frame_px, shown)

    def _begin_chain(self) -> Av1ChainEncoder:
        preset = self._config.preset if self._steady else self._config.anchor_preset
        config = Av1ChainConfig(crf=self._crf, steady=self._steady, preset=preset)
        encoder = Av1ChainEncoder(self._chains % _CHAINS, self._frame_px, config)
        self._chains += 1
        return encoder

    def _worth_a_chain(self, encoder: Av1ChainEncoder, wanted: float, reference_bps: float) -> bool:
        """Whether another quality is wanted, and its key unit paid for soon."""
        if self._plan.anchor_crf is not None:
            return wanted != self._crf
        even = self._plan.anchor_frames > 0
        step, key_units, paid_within_s = _EVEN_CHAIN if even else _STEADY_CHAIN
        if even and self._begun_bps * _FAR_MORE < _AFFORDED_BPS <= reference_bps and wanted < self._crf:
            step = _CAREFUL_STEP
        judged_units = _JUDGED_EVEN_UNITS if even else _JUDGED_UNITS
        if encoder.units < judged_units or abs(wanted - self._crf) < step or self._unit_bytes is None:
            return False
        key_bytes = key_units * self._unit_bytes * _ratio(wanted - self._crf)
        return key_bytes * 8 <= paid_within_s * reference_bps

    def _wanted_crf(self, reference_bps: float) -> float:
        """What the rate suggests; later, the quality whose units it pays for as often as it should."""
        if self._plan.anchor_frames:
            return self._wanted_anchor_crf(reference_bps)
        if self._unit_bytes is None:
            return self._config.crf(reference_bps)
        target_bytes = max(reference_bps / 8 * self._config.unit_interval_s - _HEAD_BYTES, 1.0)
        step = round(_HALVING_CRF * math.log2(self._unit_bytes / target_bytes))
        finest, coarsest = self._config.crf_range
        return min(max(self._crf + min(max(step, -_LARGEST_STEP), _LARGEST_STEP), finest), coarsest)

    def _wanted_anchor_crf(self, reference_bps: float) -> float:
        """The plan's quality, or the one whose units the rate pays for at the plan's interval."""
        plan = self._plan
        if plan.anchor_crf is not None:
            return plan.anchor_crf
        interval_s = plan.anchor_frames * max(plan.frame_interval_s, _EXPECTED_FRAME_S)
        target_bytes = max(reference_bps / 8 * interval_s - _ANCHOR_HEAD_BYTES, 1.0)
        crf, known_bytes, halving = _ANCHOR_CRF
        if self._unit_bytes is not None:
            crf, known_bytes = self._crf, self._unit_bytes
        else:
            target_bytes *= _FIRST_SHARE  # the first picture is paid back at first
        wanted = round(crf + halving * math.log2(known_bytes / target_bytes))
        return min(max(wanted, _ANCHOR_CRF_RANGE[0]), _ANCHOR_CRF_RANGE[1])


def _ratio(crf_steps: float) -> float:
    """By what the size of a unit changes with the quality."""
    return float(2.0 ** (-crf_steps / _HALVING_CRF))
