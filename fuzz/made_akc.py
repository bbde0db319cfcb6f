"""Small .akc files of made-up motion and pictures."""

from __future__ import annotations

import io
from fractions import Fraction

from adasr_core.bitstream import (
    TICKS_PER_SECOND,
    AkcHeader,
    AkcWriter,
    AudioPacket,
    AudioStream,
    CodedFrame,
    FrameToCode,
    MotionCodec,
    ReferencePacket,
)
from adasr_core.geometry import MotionParameters
from fuzz.made_tables import made_tables
from fuzz.material import head_motion, still

AKC_KEYPOINTS, AKC_COMPONENTS = 3, 6
FRAMES_PER_MESSAGE = 3
_RATE = Fraction(25)
_FRAME_PX = 16
_SECOND_REFERENCE = 2


def made_akc(*, messages: int, audio: bool = False, regular: bool = True, picture: bytes = b"") -> bytes:
    """A file of so many messages of three frames each; the third and later ones use a second reference.

    regular: frames come at the header's rate; else the later ones are late. picture: of the references, in place of a
    still of 16x16.
    """
    codec = MotionCodec(made_tables(AKC_KEYPOINTS, AKC_COMPONENTS), AKC_KEYPOINTS)
    motion = head_motion(AKC_KEYPOINTS, messages * FRAMES_PER_MESSAGE)
    header = AkcHeader(
        codec_id="0123456789abcdef",
        model="made",
        frame_px=_FRAME_PX,
        frame_rate=_RATE.as_integer_ratio(),
        frames=len(motion),
    )
    buffer = io.BytesIO()
    with AkcWriter(buffer, header) as writer:
        if audio:
            writer.write_audio_stream(
                AudioStream(codec_name="aac", sample_rate=48_000, layout="mono", time_base=(1, 48_000), extradata=b"x")
            )
        base: CodedFrame | None = None
        first: MotionParameters | None = None
        parameters = motion[0]
        for number in range(messages):
            start = number * FRAMES_PER_MESSAGE
            slot = number // _SECOND_REFERENCE
            if number % _SECOND_REFERENCE == 0:
                coded = codec.encode_reference(motion[start], first)
                parameters = codec.decode_reference(coded, first)
                packet = ReferencePacket(
                    slot=slot,
                    generation=0,
                    time_ms=start * 40,
                    frame_px=_FRAME_PX,
                    parameters=coded,
                    picture=picture or still(_FRAME_PX),
                    base=None if first is None else (0, 0),
                )
                writer.write_reference(packet)
                first = first or parameters
            frames = [FrameToCode(index * 40, motion[index]) for index in range(start, start + FRAMES_PER_MESSAGE)]
            message, held = codec.encode_message(
                frames,
                parameters,
                slot=slot,
                generation=0,
                sequence=(start + FRAMES_PER_MESSAGE - 1) % 256,
                quality=4,
                base=base,
            )
            base = held[-1]
            late = 0 if regular or number == 0 else 77
            ticks = [int(index * TICKS_PER_SECOND / _RATE) + late for index in range(start, start + FRAMES_PER_MESSAGE)]
            writer.write_motion(message, tuple(ticks))
            if audio:
                writer.write_audio_packet(AudioPacket(number * 1024, 1024, bytes(range(20))))
    return buffer.getvalue()
