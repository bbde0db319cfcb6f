"""The bitstream: packets, motion and picture coding, and the file form .akc. See docs/bitstream.md for every byte."""

from adasr_core.bitstream.akc import AkcFile, AkcSizes, AudioTrack
from adasr_core.bitstream.akc_reader import read_akc
from adasr_core.bitstream.akc_records import TICKS_PER_SECOND, AkcHeader, AudioPacket, AudioStream, TimedMotion
from adasr_core.bitstream.akc_writer import AkcWriter
from adasr_core.bitstream.anchor import AnchorPacket, is_anchor
from adasr_core.bitstream.errors import BitstreamError
from adasr_core.bitstream.feedback import MotionFeedback
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.motion_message import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_FRAMES,
    CodedFrame,
    FrameToCode,
    MissingBaseError,
    MotionMessage,
)
from adasr_core.bitstream.packets import (
    BITSTREAM_VERSION,
    DEFAULT_QUALITY,
    GENERATIONS,
    MAX_QUALITY,
    MAX_REFERENCE_PACKET_BYTES,
    PICTURE_AV1_CHAIN,
    PICTURE_AVIF,
    PICTURE_KEPT,
    REFERENCE_SLOTS,
    ReferencePacket,
    unwrap_u8,
    unwrap_u16,
)
from adasr_core.bitstream.picture import decode_picture, encode_picture
from adasr_core.bitstream.tables import MotionTables

__all__ = [
    "BITSTREAM_VERSION",
    "DEFAULT_QUALITY",
    "GENERATIONS",
    "MAX_MESSAGE_BYTES",
    "MAX_MESSAGE_FRAMES",
    "MAX_QUALITY",
    "MAX_REFERENCE_PACKET_BYTES",
    "PICTURE_AV1_CHAIN",
    "PICTURE_AVIF",
    "PICTURE_KEPT",
    "REFERENCE_SLOTS",
    "TICKS_PER_SECOND",
    "AkcFile",
    "AkcHeader",
    "AkcSizes",
    "AkcWriter",
    "AnchorPacket",
    "AudioPacket",
    "AudioStream",
    "AudioTrack",
    "BitstreamError",
    "CodedFrame",
    "FrameToCode",
    "MissingBaseError",
    "MotionCodec",
    "MotionFeedback",
    "MotionMessage",
    "MotionTables",
    "ReferencePacket",
    "TimedMotion",
    "decode_picture",
    "encode_picture",
    "is_anchor",
    "read_akc",
    "unwrap_u8",
    "unwrap_u16",
]
