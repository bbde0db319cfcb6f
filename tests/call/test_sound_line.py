"""From samples to samples: gate, Opus, gathering, a lossy line that reorders, jitter buffer; in made-up time."""

import heapq
from dataclasses import dataclass

import numpy as np
import pytest

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.audio_packet import AudioMessage
from call.audio_codec import LOOKAHEAD_S, OpusDecoder, OpusEncoder
from receiver.audio_playout import AudioPlayout, AudioStatistics
from sender.audio_gate import AudioGate
from sender.audio_gather import AudioFrame, AudioGather
from sender.audio_rate import audio_rules, wire_bps
from sender.plan_choice import DelayMode
from sender.wire_cost import chunk_bytes
from tests.call.speech import Samples, likeness, speech

MOTION_S = {DelayMode.LOWEST: 0.04, DelayMode.BALANCED: 0.08, DelayMode.SAVING: 0.28}
LINE_S = 0.03


@dataclass
class Heard:
    sound: Samples
    delays_ms: np.ndarray[tuple[int], np.dtype[np.float64]]
    wire_kbps: float
    counts: AudioStatistics
    frames_sent: int


def _hold(
    sound: Samples, mode: DelayMode, *, loss: float = 0.0, jitter_s: float = 0.0, repeats: int = 0, seed: int = 5
) -> Heard:
    rules, random = audio_rules(mode), np.random.default_rng(seed)
    encoder, decoder = OpusEncoder(rules.frame_ms, rules.bitrates_bps[0]), OpusDecoder()
    gate, gather, playout = AudioGate(rules.frame_ms / 1000), AudioGather(), AudioPlayout(decoder.decode)
    size, flying, taken = encoder.frame_samples, list[tuple[float, int, bytes]](), 0
    heard, wire, frames_sent, motion_s = [], 0, 0, 0.013
    for step in range(round((len(sound) / 48_000 + 0.6) / 0.005)):
        now = step * 0.005
        leaving = []
        while (taken + 1) * size <= min(len(sound), now * 48_000):
            samples = sound[taken * size : (taken + 1) * size]
            packet = encoder.encode(samples)
            if gate.passes(samples):
                frame = AudioFrame(
                    frame_ms=rules.frame_ms,
                    sequence=taken,
                    time_s=taken * size / 48_000 - LOOKAHEAD_S + 10,
                    packet=packet,
                    patience_s=rules.patience_s,
                    repeats=repeats,
                )
                leaving.append(gather.add(frame, now))
                frames_sent += 1
            taken += 1
        deadline = gather.deadline()
        if now >= motion_s or (deadline is not None and now >= deadline):
            leaving.append(gather.take())
            motion_s += MOTION_S[mode] if now >= motion_s else 0.0
        for data in leaving:
            if data is not None:
                wire += chunk_bytes(len(data))
                if random.random() >= loss:
                    heapq.heappush(flying, (now + LINE_S + jitter_s * random.random(), step, data))
        while flying and flying[0][0] <= now:
            arrived_s, _, data = heapq.heappop(flying)
            playout.push(AudioMessage.unpack(data), arrived_s)
        if step % 2 == 0:
            heard.append(playout.pull(480, now).samples)
    counts = playout.statistics()
    delays = np.array(counts.delays_ms) + 10_000
    return Heard(np.concatenate(heard), delays, wire * 8 / 1000 / (len(sound) / 48_000), counts, frames_sent)


@pytest.mark.parametrize(
    ("mode", "most_ms"), [(DelayMode.LOWEST, 110), (DelayMode.BALANCED, 150), (DelayMode.SAVING, 400)]
)
def test_speech_arrives_whole_within_the_delay_of_its_mode(mode: DelayMode, most_ms: float) -> None:
    """A line of 30 ms; the limit is mouth to ear."""
    sound = speech(6)
    heard = _hold(sound, mode)
    alike, behind_s = likeness(sound, heard.sound)
    assert alike > 0.96
    assert np.percentile(heard.delays_ms, 95) < most_ms
    assert abs(behind_s * 1000 - np.median(heard.delays_ms)) < 20
    assert heard.counts.late == 0
    # Silence costs nothing, and no sample jumps further than in what was said.
    rules = audio_rules(mode)
    spoken_kbps = wire_bps(rules, rules.bitrates_bps[0]) / 1000
    assert 0.6 * spoken_kbps < heard.wire_kbps < 0.95 * spoken_kbps
    assert np.abs(np.diff(heard.sound)).max() < 1.5 * np.abs(np.diff(sound)).max()


def test_a_lossy_line_is_understood_and_repeats_mend_it() -> None:
    sound = speech(8, pauses=False)
    plain = _hold(sound, DelayMode.BALANCED, loss=0.1, jitter_s=0.06, seed=3)
    mended = _hold(sound, DelayMode.BALANCED, loss=0.1, jitter_s=0.06, repeats=4, seed=3)
    assert plain.counts.frames < 0.95 * plain.frames_sent
    assert mended.counts.frames > 0.97 * mended.frames_sent
    assert mended.counts.double > 0.7 * mended.frames_sent
    assert np.percentile(mended.delays_ms, 95) < 300
    for heard in (plain, mended):
        assert np.abs(np.diff(heard.sound)).max() < 1.5 * np.abs(np.diff(sound)).max()
    assert likeness(sound, plain.sound)[0] > 0.8


def test_frames_have_exactly_the_size_that_was_asked_for() -> None:
    """A cap on the wire is a promise: the coder may not take more in loud passages."""
    for frame_ms, bitrate in ((20, 12_000), (60, 6000), (20, 16_000)):
        encoder = OpusEncoder(frame_ms, bitrate)
        size = encoder.frame_samples
        sound = speech(1)
        sizes = {len(encoder.encode(sound[at : at + size])) for at in range(0, len(sound) - size + 1, size)}
        assert sizes == {bitrate * frame_ms // 8000}


@pytest.mark.parametrize("packet", [b"\xff\xff", bytes(range(200, 255)), b"\x00", b"\x03\x50" + bytes(30)])
def test_what_is_no_frame_of_its_duration_is_refused(packet: bytes) -> None:
    decoder = OpusDecoder()
    with pytest.raises(BitstreamError, match="audio frame"):
        decoder.decode(packet, 20)
    good = OpusEncoder(20, 12_000).encode(speech(0.02))
    assert decoder.decode(good, 20).shape == (960,)
