import pytest

from adasr_core.bitstream import MotionMessage
from call.gathered_frames import GatheredFrame, GatheredFrames


def _message(sequence: int) -> MotionMessage:
    return MotionMessage(slot=0, generation=0, sequence=sequence, time_ms=0, body=b"")


def _gathered(count: int) -> GatheredFrames:
    frames = GatheredFrames()
    for number in range(count):
        frames.add(GatheredFrame(0.04 * number, None))
    return frames


def test_messages_take_their_frames_in_order() -> None:
    frames = _gathered(6)
    assert [frame.time_s for frame in frames.take(_message(2))] == pytest.approx([0.0, 0.04, 0.08])
    assert len(frames) == 3
    assert [frame.time_s for frame in frames.take(_message(3))] == pytest.approx([0.12])
    assert len(frames.take(_message(5))) == 2
    assert len(frames) == 0


def test_numbers_wrap() -> None:
    frames = _gathered(300)
    for newest in range(3, 300, 4):
        assert len(frames.take(_message(newest & 0xFF))) == 4
    assert len(frames) == 0


def test_a_message_of_frames_that_were_not_coded_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="in order"):
        _gathered(1).take(_message(4))
