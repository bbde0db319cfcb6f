"""The sound's threads by themselves: what fails is said once, and nothing waits for it."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from adasr.partial_file import partial_file
from call.audio_codec import OpusEncoder
from call.audio_receiving import AudioReceivingLoop
from call.audio_sending import AudioSendingLoop
from call.audio_sinks import HeardBlock, WavSpeaker, open_speaker
from call.audio_sources import FileMicrophone, MicrophoneError, SoundBlock, parse_microphone
from call.call_sound import CallSound
from call.control import Hello, Sound
from call.messages import SendAudio, ToTransport
from call.sound_track import SoundTrack
from sender.audio_gather import AudioFrame, AudioGather
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig
from tests.call.speech import speech, write_wav


@dataclass
class BrokenMicrophone:
    """Gives a little sound, then fails, or hangs."""

    hangs: bool

    def check(self) -> None:
        """It is there."""

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        for _ in range(10):
            yield SoundBlock(speech(0.02), time.monotonic())
        if self.hangs:
            threading.Event().wait(30)
        raise MicrophoneError("microphone 7: unplugged")


@dataclass
class Ear:
    """Keeps what it is given, or fails."""

    fails: bool = False
    paces: bool = False
    latency_s: float = 0.0
    blocks: list[HeardBlock] = field(default_factory=list)

    def play(self, block: HeardBlock) -> None:
        if self.fails:
            raise OSError("the headphones are gone")
        self.blocks.append(block)

    def close(self) -> None:
        """Nothing to finish."""


def _wait(holds: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_microphone_that_fails_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[ToTransport] = []
    loop = AudioSendingLoop(BrokenMicrophone(hangs=False), DelayMode.BALANCED, sent.append)
    loop.start(time.monotonic())
    _wait(lambda: loop.report().trouble)
    loop.check(time.monotonic() + 60)
    loop.stop()
    assert loop.report().trouble == "microphone 7: unplugged"
    assert caplog.text.count("the call goes on without it") == 1
    assert loop.report().frames == 10


def test_a_microphone_that_hangs_holds_nothing_up() -> None:
    loop = AudioSendingLoop(BrokenMicrophone(hangs=True), DelayMode.BALANCED, lambda message: None)
    loop.start(time.monotonic())
    _wait(lambda: loop.report().frames == 10)
    loop.check(time.monotonic() + 6)
    assert "gave nothing for 5 s" in loop.report().trouble
    began = time.monotonic()
    loop.stop()
    assert time.monotonic() - began < 2


def test_a_speaker_that_fails_is_named_and_messages_are_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    loop = AudioReceivingLoop(Ear(fails=True))
    loop.start()
    _wait(lambda: loop.report().trouble)
    for _ in range(1000):
        loop.hear(b"whatever")
    loop.stop()
    assert loop.report().trouble == "the headphones are gone"
    assert caplog.text.count("the call goes on without it") == 1


def test_malformed_messages_are_counted_and_sound_goes_on() -> None:
    ear = Ear()
    loop = AudioReceivingLoop(ear, lambda: 0.0)
    loop.start()
    encoder, gather = OpusEncoder(20, 12_000), AudioGather()
    sound = speech(0.4, pauses=False)
    for number in range(20):
        packet = encoder.encode(sound[number * 960 : (number + 1) * 960])
        frame = AudioFrame(
            frame_ms=20, sequence=number, time_s=time.monotonic(), packet=packet, patience_s=0.1, repeats=0
        )
        gather.add(frame, 0.0)
        data = gather.take()
        assert data is not None
        loop.hear(data)
        loop.hear(b"\xff" + data)
        time.sleep(0.02)
    time.sleep(0.15)
    loop.stop()
    report = loop.report()
    assert (report.messages, report.malformed) == (40, 20)
    assert report.statistics.frames >= 18
    heard = np.concatenate([block.samples for block in ear.blocks])
    assert np.sqrt(np.mean(np.square(heard))) > 0.02
    assert report.skews_ms


def test_a_file_plays_at_its_own_pace_and_with_its_pictures(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", (np.arange(24_000) / 48_000).astype(np.float32))
    microphone = FileMicrophone(path)
    microphone.check()
    origin = time.monotonic() - 0.2
    blocks = list(microphone.blocks(threading.Event(), origin))
    ended = time.monotonic()
    assert ended - origin == pytest.approx(0.5, abs=0.1)
    # The first 0.2 s were due before.
    first = blocks[0].samples[0] - (blocks[0].end_s - origin - 0.02)
    assert abs(float(first)) < 1e-3
    assert 14 <= len(blocks) <= 16
    again = FileMicrophone(path, repeat=True).blocks(threading.Event(), time.monotonic() - 0.45)
    starts = [block.samples[0] for _, block in zip(range(8), again, strict=False)]
    assert max(starts) > 0.45
    assert min(starts) == 0


def test_what_a_microphone_may_be(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", speech(0.2))
    assert parse_microphone("none", None, repeat=False) is None
    assert parse_microphone(str(path), None, repeat=True) == FileMicrophone(path)
    assert parse_microphone("source", path, repeat=True) == FileMicrophone(path, repeat=True)
    with pytest.raises(ValueError, match="no video file"):
        parse_microphone("source", None, repeat=False)
    with pytest.raises(MicrophoneError, match="cannot be opened"):
        parse_microphone(str(tmp_path / "missing.wav"), None, repeat=False)
    with pytest.raises(MicrophoneError, match="cannot be opened"):
        parse_microphone("alsa:no-such-device", None, repeat=False)
    with pytest.raises(ValueError, match=r"expected a \.wav file"):
        open_speaker("film.mp3", partial_file)


def test_a_wav_file_is_complete_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "b.wav"
    speaker = WavSpeaker(path, partial_file)
    assert not path.exists()
    for _ in range(10):
        speaker.play(HeardBlock(np.full(480, 0.5, np.float32), None, 0.0))
    speaker.close()
    (block, *_) = FileMicrophone(path).blocks(threading.Event(), time.monotonic())
    assert np.allclose(block.samples, 0.5, atol=1e-3)


def test_sound_in_a_film_stands_where_it_was_recorded() -> None:
    track = SoundTrack(100.0)
    assert len(track.place(np.ones(480, np.float32), 99.0 - 65.536)) == 0, "before the first picture"
    placed = [track.place(np.ones(480, np.float32), (100.5 + 0.01 * number) % 65.536) for number in range(10)]
    assert [len(piece) for piece in placed] == [24_480, *[480] * 9]
    assert len(track.place(np.ones(480, np.float32), 100.8)) == 0.2 * 48_000 + 480
    assert len(track.place(np.ones(480, np.float32), 100.82)) == 480, "10 ms off is no matter"


HELLO = Hello(1, "0123456789abcdef", "edge 0.1", 512, True, True)


@pytest.mark.parametrize(
    ("word", "remote", "starts"),
    [
        (Sound(False, True), HELLO, True),
        (Sound(True, False), HELLO, False),
        (None, HELLO, False),
        (Sound(False, True), Hello(1, "0123456789abcdef", "edge 0.1", 512, True, True, 8), False),
    ],
)
def test_sound_goes_to_those_who_hear_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, word: Sound | None, remote: Hello, starts: bool
) -> None:
    sent: list[ToTransport] = []
    microphone = FileMicrophone(write_wav(tmp_path / "a.wav", speech(0.4, pauses=False)))
    sound = CallSound(microphone, None, RateControlConfig(), sent.append, lambda: None)
    assert sound.offer == Sound(True, False)
    if word is not None:
        sound.agree(word)
    for _ in range(30):
        sound.follow(None, remote, time.monotonic())
        time.sleep(0.01)
    sound.stop()
    assert bool(sent) == starts
    assert all(isinstance(message, SendAudio) for message in sent)
    assert caplog.text.count("sound is not sent") == (not starts)
    assert CallSound(None, None, RateControlConfig(), sent.append, lambda: None).offer is None
