"""Real calls on loopback with sound beside the pictures."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import numpy as np
import pytest

from adasr.cli import main
from adasr.video_file import open_video
from adasr_core.bundle import ModelBundle
from call.audio_sinks import HeardBlock
from call.audio_sources import FileMicrophone, MicrophoneError, SoundBlock
from call.messages import ReceivedAudio, ReceivedMotion, SendAudio, SendMotion
from call.peer import CallReport, PeerConfig, hold_call
from call.sinks import PreviewSink
from call.sources import ClipSource
from sender import CropMode, SenderConfig, TrackerConfig
from sender.audio_gather import AudioFrame
from sender.rate_control import RateControlConfig
from tests.call.conftest import MODEL
from tests.call.loopback import connected_peers
from tests.call.post import Post
from tests.call.speech import likeness, speech, write_wav

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of the call's processes are POSIX")


@dataclass
class Ear:
    paces: bool = False
    latency_s: float = 0.0
    blocks: list[HeardBlock] = field(default_factory=list)

    def play(self, block: HeardBlock) -> None:
        self.blocks.append(block)

    def close(self) -> None:
        """Nothing to finish."""


@dataclass
class DeadMicrophone:
    def check(self) -> None:
        """It is there."""

    def blocks(self, stop: threading.Event, origin_s: float) -> Iterator[SoundBlock]:
        yield SoundBlock(speech(0.02), time.monotonic())
        raise MicrophoneError("microphone 7: unplugged")


def _call(first: PeerConfig, second: PeerConfig, ear: Ear | None) -> tuple[CallReport, CallReport]:
    post, reports = Post(), dict[str, CallReport]()
    sink = PreviewSink()

    def hold(name: str, config: PeerConfig) -> None:
        hears = config.receives
        reports[name] = hold_call(config, post, sink=sink if hears else None, speaker=ear if hears else None)

    threads = [threading.Thread(target=hold, args=args) for args in (("first", first), ("second", second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not multiprocessing.active_children()
    return reports["first"], reports["second"]


def _configs(clip: Path, **changes: object) -> tuple[PeerConfig, PeerConfig]:
    first = PeerConfig(
        offer=True,
        model=MODEL,
        source=ClipSource(clip, open_video, repeat=True),
        receives=False,
        seconds=4.0,
        loopback_only=True,
        sender=SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=None),
    )
    second = replace(first, offer=False, source=None, receives=True, receiving_threads=1, seconds=None)
    return replace(first, **changes), second  # type: ignore[arg-type]


def test_sound_arrives_with_its_pictures(bundle: ModelBundle, sample_clip: Path, tmp_path: Path) -> None:
    said = speech(6)
    ear = Ear()
    microphone = FileMicrophone(write_wav(tmp_path / "said.wav", said))
    sent, heard = _call(*_configs(sample_clip, microphone=microphone), ear)
    assert not sent.failed
    assert not heard.failed
    assert sent.sound_sent is not None
    assert heard.sound_heard is not None
    assert sent.statistics is not None
    assert sent.sound_sent.trouble == heard.sound_heard.trouble == ""
    assert 0.5 < sent.sound_sent.frames_sent / sent.sound_sent.frames < 0.95, "pauses are not sent"
    assert heard.sound_heard.malformed == 0
    assert heard.sound_heard.statistics.frames >= 0.9 * sent.sound_sent.frames_sent
    # What was said is heard: the part of it that was due while both sides were there.
    sound = np.concatenate([block.samples for block in ear.blocks])
    begins = next(at for at, block in enumerate(ear.blocks) if block.capture_s is not None and block.samples.any())
    alike = max(likeness(said[start * 4800 :][:144_000], sound[begins * 480 :])[0] for start in range(15))
    assert alike > 0.85
    # Both ends read one clock: mouth to ear, and how far sound and pictures are apart.
    delays_ms = np.array(heard.sound_heard.statistics.delays_ms) % 65_536
    assert 40 < np.median(delays_ms) < 600
    assert abs(np.median(heard.sound_heard.skews_ms)) < 150
    assert heard.receiving is not None
    assert heard.receiving.frames_shown > 10
    # It travels with motion.
    assert sent.statistics.audio_alone < 0.5 * sent.statistics.audio_sent


def test_a_dead_microphone_and_a_deaf_peer_leave_the_pictures_alone(
    bundle: ModelBundle, sample_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = _configs(sample_clip, microphone=DeadMicrophone(), seconds=1.5)
    sent, heard = _call(first, second, Ear())
    assert not sent.failed
    assert sent.sound_sent is not None
    assert "unplugged" in sent.sound_sent.trouble
    assert heard.receiving is not None
    assert heard.receiving.frames_shown > 3
    assert "the call goes on without it" in caplog.text


def test_sound_and_motion_share_datagrams() -> None:
    with connected_peers() as (first, second):
        for number in range(25):
            for half in range(2):
                frame = AudioFrame(
                    frame_ms=20,
                    sequence=2 * number + half,
                    time_s=0.04 * number + 0.02 * half,
                    packet=bytes([number]) * 30,
                    patience_s=0.5,
                    repeats=0,
                )
                first.send(SendAudio(frame))
            time.sleep(0.03)
            first.send(SendMotion(bytes(30)))
        arrived = [message for _, message in second.collect(1.0)]
        sound = [message for message in arrived if isinstance(message, ReceivedAudio)]
        assert len([message for message in arrived if isinstance(message, ReceivedMotion)]) == 25
        assert 22 <= len(sound) <= 26
        alone = AudioFrame(frame_ms=20, sequence=99, time_s=9.0, packet=b"1", patience_s=0.05, repeats=0)
        first.send(SendAudio(alone))
        second.expect(ReceivedAudio, 3.0)


def test_too_small_a_cap_is_refused_before_the_call(sample_clip: Path) -> None:
    with pytest.raises(ValueError, match="raise --max-kbps or leave --microphone out"):
        _configs(sample_clip, microphone=DeadMicrophone(), rate=RateControlConfig(cap_bps=8000))


@pytest.mark.slow
def test_a_film_holds_what_was_heard(bundle: ModelBundle, tmp_path: Path) -> None:
    said = write_wav(tmp_path / "said.wav", speech(5))
    film = tmp_path / "demo.mp4"
    code = main(
        ["demo", "--seconds", "3", "--microphone", str(said), "--out", str(film), "--json", str(tmp_path / "j")]
    )
    assert code in (0, 1), "a busy machine may show too few frames"
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    assert len(heard) > 1.5 * 48_000
    assert np.sqrt(np.mean(np.square(heard))) > 0.02
    assert '"mouth_to_ear_ms_p50"' in (tmp_path / "j").read_text()
