"""Packets among the conformance vectors: feedback, references, anchors."""

from __future__ import annotations

from dataclasses import asdict

from adasr_core.bitstream import (
    PICTURE_KEPT,
    AnchorPacket,
    MotionFeedback,
    ReferencePacket,
)
from adasr_core.bitstream.kept_picture import kept_marks, kept_name
from fuzz.material import av1_chain, smooth_picture, still

PICTURE_PX = 16
_CODEC_ID = "0123456789abcdef"
_SALT = b"saltsalt"


def feedback_vectors() -> list[dict[str, object]]:
    """Usual values, and every field at its limits."""
    cases = (
        MotionFeedback(sequence=0, received=0, time_ms=0, transit_ms=0, held_ms=0, lost=0),
        MotionFeedback(sequence=5, received=0b1011, time_ms=4000, transit_ms=65_500, held_ms=17, lost=3),
        MotionFeedback(sequence=255, received=0xFFFF_FFFF, time_ms=65_535, transit_ms=65_535, held_ms=255, lost=65_535),
    )
    return [
        {"feedback": case.pack().hex(), "fields": asdict(case), "sequences": list(case.sequences())} for case in cases
    ]


def reference_vectors(coded: dict[str, bytes]) -> list[dict[str, object]]:
    """Both kinds of pictures, with a base and without; coded: parameters by name."""
    packets = (
        ReferencePacket(
            slot=0, generation=0, time_ms=0, frame_px=PICTURE_PX, parameters=coded["plain"], picture=still(PICTURE_PX)
        ),
        ReferencePacket(
            slot=15,
            generation=9,
            time_ms=65_535,
            frame_px=64,
            parameters=coded["on plain"],
            picture=av1_chain(64, 1)[0],
            picture_codec=2,
            base=(0, 0),
        ),
        ReferencePacket(slot=3, generation=15, time_ms=1234, frame_px=2048, parameters=b"", picture=b"?"),
        ReferencePacket(
            slot=7,
            generation=1,
            time_ms=1,
            frame_px=PICTURE_PX,
            parameters=coded["plain"],
            picture=kept_name(smooth_picture(PICTURE_PX), _CODEC_ID),
            picture_codec=PICTURE_KEPT,
        ),
        ReferencePacket(
            slot=8,
            generation=2,
            time_ms=2,
            frame_px=PICTURE_PX,
            parameters=coded["on plain"],
            picture=bytes(range(16)),
            picture_codec=PICTURE_KEPT,
            base=(0, 0),
        ),
    )
    return [
        {
            "packet": packet.pack().hex(),
            "fields": {
                "slot": packet.slot,
                "generation": packet.generation,
                "time_ms": packet.time_ms,
                "frame_px": packet.frame_px,
                "picture_codec": packet.picture_codec,
                "base": None if packet.base is None else list(packet.base),
                "parameters": packet.parameters.hex(),
                "picture": packet.picture.hex(),
            },
        }
        for packet in packets
    ]


def kept_picture_vectors() -> dict[str, object]:
    """Pictures with their names, and what tells of them."""
    pictures = [smooth_picture(side) for side in (PICTURE_PX, 17)]
    names = [kept_name(picture, _CODEC_ID) for picture in pictures]
    return {
        "codec_id": _CODEC_ID,
        "pictures": [
            {"side": len(picture), "pixels": picture.tobytes().hex(), "picture_name": name.hex()}
            for picture, name in zip(pictures, names, strict=True)
        ],
        "salt": _SALT.hex(),
        "marks": kept_marks(_SALT, names).hex(),
    }


def anchor_vectors() -> list[dict[str, object]]:
    """The first units of a chain, and values at their limits."""
    key, unit = av1_chain(64, 2)
    packets = (
        AnchorPacket(time_ms=0, picture=key),
        AnchorPacket(time_ms=65_535, picture=unit),
        AnchorPacket(time_ms=0x4131, picture=b"\xff\xff?"),
    )
    return [
        {
            "packet": packet.pack().hex(),
            "fields": {
                "time_ms": packet.time_ms,
                "chain": packet.picture[0],
                "index": packet.picture[1],
                "unit": packet.picture[2:].hex(),
            },
        }
        for packet in packets
    ]
