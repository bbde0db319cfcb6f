"""A sender with the shipped model, and frames for it."""

from __future__ import annotations

from typing import Any

from adasr_core.bitstream import MotionMessage
from sender import (
    CropMode,
    Sender,
    SenderConfig,
    SenderOutput,
    TrackerConfig,
)
from tests.real_model import Image, edge_codec, edge_model, talking

RATE = 25.0


def make(*, full: bool = True, **changes: Any) -> Sender:
    mode = CropMode.FULL if full else CropMode.FACE
    return Sender(edge_model(), edge_codec(), SenderConfig(tracker=TrackerConfig(mode=mode), **changes))


def push(sender: Sender, frame: int) -> SenderOutput:
    return sender.push_frame(talking(frame), frame / RATE)


def push_and_close(sender: Sender, image: Image, frame: int) -> tuple[SenderOutput, float | None]:
    return sender.push_frame(image, frame / RATE), sender.close_loop()


def only(messages: tuple[MotionMessage, ...]) -> MotionMessage:
    (message,) = messages
    return message
