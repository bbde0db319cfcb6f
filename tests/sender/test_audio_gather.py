from adasr_core.bitstream.audio_packet import MAX_AUDIO_MESSAGE_BYTES, AudioMessage
from sender.audio_gather import AudioFrame, AudioGather


def _frame(sequence: int, *, repeats: int = 0, size: int = 30) -> AudioFrame:
    return AudioFrame(
        frame_ms=20,
        sequence=sequence,
        time_s=100.0 + 0.02 * sequence,
        packet=bytes([sequence & 0xFF]) * size,
        patience_s=0.06,
        repeats=repeats,
    )


def _taken(gather: AudioGather) -> AudioMessage:
    data = gather.take()
    assert data is not None
    return AudioMessage.unpack(data)


def test_frames_wait_for_company_and_no_longer_than_they_may() -> None:
    gather = AudioGather()
    assert gather.deadline() is None
    gather.add(_frame(65535), 1.0)
    gather.add(_frame(65536), 1.02)
    deadline = gather.deadline()
    assert deadline is not None
    assert abs(deadline - 1.06) < 1e-3
    message = _taken(gather)
    assert message.sequence == 0
    assert message.time_ms == round((100.0 + 0.02 * 65536) * 1000) % 65536
    assert message.frames == (b"\xff" * 30, b"\x00" * 30)
    assert gather.take() is None
    assert gather.deadline() is None


def test_silence_in_between_is_a_frame_of_no_bytes() -> None:
    gather = AudioGather()
    for sequence in (3, 6):
        gather.add(_frame(sequence), 1.0)
    assert [len(frame) for frame in _taken(gather).frames] == [30, 0, 0, 30]


def test_what_the_message_before_held_leaves_once_more() -> None:
    gather = AudioGather()
    for sequence in (1, 2, 3):
        gather.add(_frame(sequence), 1.0)
    assert _taken(gather).sequence == 3
    gather.add(_frame(4, repeats=2), 1.1)
    assert [frame[0] for frame in _taken(gather).frames] == [2, 3, 4]
    gather.add(_frame(5, repeats=2), 1.2)
    assert [frame[0] for frame in _taken(gather).frames] == [4, 5], "repeats are not repeated"


def test_what_does_not_fit_leaves_first() -> None:
    gather = AudioGather()
    gather.add(_frame(1), 1.0)
    full = gather.add(_frame(17), 1.3)
    assert full is not None
    assert AudioMessage.unpack(full).sequence == 1
    assert _taken(gather).frames == (b"\x11" * 30,)
    gather = AudioGather()
    messages = [gather.add(_frame(sequence, size=200, repeats=16), 1.0) for sequence in range(6)] + [gather.take()]
    sizes = [len(message) for message in messages if message is not None]
    assert len(sizes) == 2
    assert max(sizes) <= MAX_AUDIO_MESSAGE_BYTES
