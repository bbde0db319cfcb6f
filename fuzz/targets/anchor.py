"""Anchors beside references and motion: packets as they come over the key channel, their chain, what is drawn of them.

The networks have no part in it: how a picture is warped is left to a flow that needs none, at 64 px. With the real
model `tests/fuzz/test_receiver_flood.py` does the same.
"""

from __future__ import annotations

from functools import cache
from itertools import islice

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import AnchorPacket, BitstreamError, CodedFrame, is_anchor, unwrap_u16
from adasr_core.bitstream.av1_chain import Av1ChainDecoder
from adasr_core.engines import FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from fuzz.material import av1_chain, head_motion
from fuzz.sequences import joined, parted
from fuzz.target import Target
from receiver.anchors import Anchors, Image

_SIDE_PX = 64
_FLOW_PX = 16
_MOST_PARTS = 16
_UNITS = 4
_FRAME, _REFERENCE, _DRAW = 0, 1, 2
_MOTION = head_motion(5, 40)
_KEPT_ANCHORS, _KEPT_FRAMES = 6, 64
_MOST_SHARPENED_BY = 16


class PlainFlow(FaceModel):
    """A model without networks: everything moves as the mean of the keypoints does."""

    def __init__(self) -> None:
        self.frame_px = _SIDE_PX

    def encode(self, picture: Image) -> ReferenceFeatures:
        """Nothing is known of a picture."""
        assert picture.shape == (_SIDE_PX, _SIDE_PX, 3)
        return ReferenceFeatures()

    def flow(
        self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters
    ) -> npt.NDArray[np.float32]:
        """float32 [2, 16, 16]: where each place comes from, as a difference of coordinates."""
        moved = (reference.keypoints - driving.keypoints).mean(axis=0)
        assert np.isfinite(moved).all()
        return np.tile(moved[:, None, None].astype(np.float32), (1, _FLOW_PX, _FLOW_PX))

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        """Grey, as light as the reference's keypoints lie apart."""
        spread = np.ptp(reference.keypoints)
        assert np.isfinite(spread)
        return np.full((_SIDE_PX, _SIDE_PX, 3), min(float(spread), 1.0) * 255, np.uint8)

    @property
    def refines(self) -> bool:
        """Frames are mixed: a refiner is nothing but a network."""
        return False


def build() -> Target:
    """Inputs: parts as `joined`: anchor packets; or 0 and the time of a frame, 1 and that of a reference, 2 to draw."""
    key, *units = (AnchorPacket(time_ms=320 * number, picture=unit).pack() for number, unit in enumerate(_chain()))
    frames = [_timed(_FRAME, time_ms) for time_ms in range(0, 1000, 320)]
    draws = [_timed(_DRAW, time_ms) for time_ms in (0, 100, 320, 700, 1500)]
    seeds = (
        joined((key, *frames, *units, *draws)),
        joined((key, units[0], *draws, *frames[:2], *draws)),
        joined((_timed(_REFERENCE, 65_400), key, frames[0], frames[2], *draws)),
        joined((units[0], key, units[1])),
    )
    return Target(check=_check, errors=(BitstreamError,), seeds=seeds, max_bytes=4096)


@cache
def _chain() -> tuple[bytes, ...]:
    return av1_chain(_SIDE_PX, _UNITS)


def _timed(kind: int, time_ms: int) -> bytes:
    return bytes((kind,)) + time_ms.to_bytes(2, "big")


def _check(data: bytes) -> None:
    decoder, anchors = Av1ChainDecoder(_SIDE_PX), Anchors(PlainFlow())
    refusal: BitstreamError | None = None
    taken = now_ms = 0
    for part in islice(parted(data), _MOST_PARTS):
        if not is_anchor(part) and len(part) == 3 and part[0] <= _DRAW:
            now_ms = unwrap_u16(int.from_bytes(part[1:], "big"), now_ms)
            _act(anchors, part[0], now_ms)
            continue
        try:
            packet = AnchorPacket.unpack(part)
            assert packet.pack() == part
            anchors.add(packet, decoder.decode(packet.picture))
        except BitstreamError as error:
            refusal = error
            continue
        taken += 1
        _draw(anchors, unwrap_u16(packet.time_ms, now_ms), now_ms)
    assert len(anchors._held) <= _KEPT_ANCHORS
    assert len(anchors._frames) <= _KEPT_FRAMES
    _check_still_usable(decoder, anchors, now_ms)
    if refusal and not taken:
        raise refusal


def _act(anchors: Anchors, kind: int, now_ms: int) -> None:
    motion = _MOTION[now_ms // 40 % len(_MOTION)]
    if kind == _FRAME:
        anchors.note_frames([_frame(now_ms, motion)])
    elif kind == _REFERENCE:
        picture = np.full((_SIDE_PX, _SIDE_PX, 3), now_ms % 256, np.uint8)
        anchors.add_reference(now_ms % 65_536, picture, motion, ReferenceFeatures())
    else:
        _draw(anchors, now_ms, now_ms)


def _frame(now_ms: int, motion: MotionParameters) -> CodedFrame:
    return CodedFrame(0, now_ms % 65_536, 0, 0, 4, (), motion)


def _draw(anchors: Anchors, *moments: int) -> None:
    """Whatever is held: a picture of the right form or none, from both sides and from the last anchor."""
    for moment in moments:
        picture = anchors.draw(moment, _MOTION[moment // 40 % len(_MOTION)])
        assert picture is None or (picture.shape == (_SIDE_PX, _SIDE_PX, 3) and picture.dtype == np.uint8)
        rebuilt = anchors.rebuild(moment, _MOTION[moment // 40 % len(_MOTION)])
        assert rebuilt is None or (rebuilt.shape == (_SIDE_PX, _SIDE_PX, 3) and rebuilt.dtype == np.uint8)


def _check_still_usable(decoder: Av1ChainDecoder, anchors: Anchors, now_ms: int) -> None:
    """An honest sender begins anew, with a chain of its own: the frame between its two anchors is drawn."""
    anchors.forget()
    start_ms = now_ms + 40_000 - now_ms % 40
    for number, unit in enumerate(_chain()[:2]):
        time_ms = start_ms + 320 * number
        packet = AnchorPacket(time_ms=time_ms % 65_536, picture=unit)
        anchors.note_frames([_frame(time_ms, _MOTION[8 * number])])
        picture = decoder.decode(packet.picture)
        anchors.add(packet, picture)
        drawn = anchors.draw(time_ms, _MOTION[8 * number])
        assert drawn is not None
        assert np.abs(drawn.astype(np.int16) - picture).mean() < _MOST_SHARPENED_BY
    assert anchors.draw(start_ms + 160, _MOTION[4]) is not None
    assert anchors.rebuild(start_ms + 640, _MOTION[16]) is not None
