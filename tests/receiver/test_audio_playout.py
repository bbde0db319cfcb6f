"""The jitter buffer on made-up lines; the codec is a table of samples, so that what comes out can be compared."""

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.audio_packet import AudioMessage
from receiver.audio_concealment import Concealer, longer, pitch_period, shorter
from receiver.audio_playout import AudioPlayout

Samples = npt.NDArray[np.float32]

FRAME = 960


def voice(seconds: float, hz: float = 150.0) -> Samples:
    """A voice of one pitch, with harmonics."""
    t = np.arange(int(seconds * 48_000)) / 48_000
    tones = [np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6)]
    voiced: Samples = (0.2 * np.sum(tones, axis=0)).astype(np.float32)
    return voiced


@dataclass
class Line:
    """Frames of 20 ms, two a message; heard in blocks of 10 ms."""

    sound: Samples
    delay_s: float = 0.05
    jitter_s: float = 0.0
    lost: frozenset[int] = frozenset()
    twice: bool = False
    speaker_fast: float = 0.0
    silent: range = range(0)
    seed: int = 1
    heard: list[Samples] = field(default_factory=list)

    def decode(self, packet: bytes, frame_ms: int) -> Samples:
        assert frame_ms == 20
        if packet == b"damaged":
            raise BitstreamError("damaged")
        number = int.from_bytes(packet, "big")
        return self.sound[number * FRAME : (number + 1) * FRAME]

    def play(self, clock_s: float = 70.0) -> AudioPlayout:
        random = np.random.default_rng(self.seed)
        flying: list[tuple[float, bytes]] = []
        for first in range(0, len(self.sound) // FRAME - 1, 2):
            if first // 2 in self.lost or first in self.silent:
                continue
            message = AudioMessage(
                frame_ms=20,
                sequence=(first + 65_530) % 65_536,
                time_ms=round((clock_s + 0.02 * (first + 1)) * 1000) % 65_536,
                frames=(first.to_bytes(4, "big"), (first + 1).to_bytes(4, "big")),
            )
            for _ in range(1 + self.twice):
                left_s = 0.02 * (first + 2)
                heapq.heappush(flying, (left_s + self.delay_s + self.jitter_s * random.random(), message.pack()))
        playout = AudioPlayout(self.decode)
        now = 0.0
        while now < len(self.sound) / 48_000 + 0.3:
            while flying and flying[0][0] <= now:
                arrived_s, data = heapq.heappop(flying)
                playout.push(AudioMessage.unpack(data), arrived_s)
            self.heard.append(playout.pull(480, now).samples)
            now += 0.01 * (1 - self.speaker_fast)
        return playout

    def joined(self) -> Samples:
        return np.concatenate(self.heard)


def _delay_of(heard: Samples, sound: Samples) -> int:
    """Samples by which `heard` lies behind `sound`, where one stands in the other exactly."""
    part = sound[48_000 : 48_000 + 2400]
    return next(at for at in range(24_000) if np.array_equal(heard[48_000 + at : 50_400 + at], part))


def _delays_ms(playout: AudioPlayout) -> Samples:
    """From capture to being heard, milliseconds; the sender's clock is 70 s ahead, and its messages say it modulo."""
    return np.array(playout.statistics().delays_ms, np.float32) + (70_000 - 65_536)


def test_a_good_line_gives_every_sample_after_a_constant_delay() -> None:
    chirp = (
        0.3 * np.sin(2 * np.pi * (200 + 60 * np.arange(4 * 48_000) / 48_000) * np.arange(4 * 48_000) / 48_000)
    ).astype(np.float32)
    line = Line(chirp)
    playout = line.play()
    heard = line.joined()
    behind = _delay_of(heard, chirp)
    assert np.array_equal(heard[behind + 960 : behind + 3 * 48_000], chirp[960 : 3 * 48_000])
    # A frame, another that it waits for, the line, and the margin.
    assert 90 * 48 <= behind <= 110 * 48
    assert np.allclose(_delays_ms(playout), behind / 48, atol=0.5)
    counts = playout.statistics()
    assert (counts.late, counts.double, counts.stretched) == (0, 0, 0)


def test_jitter_and_reordering_cost_delay_and_nothing_else() -> None:
    line = Line(voice(6), jitter_s=0.08, twice=True)
    playout = line.play()
    counts = playout.statistics()
    assert counts.frames >= 0.97 * len(line.sound) // FRAME
    assert counts.double >= 0.95 * counts.frames
    assert 100 < np.median(_delays_ms(playout)) < 190


def test_a_lost_message_is_carried_on_without_a_click() -> None:
    sound = voice(4)
    line = Line(sound, lost=frozenset({20, 40, 60}))
    playout = line.play()
    heard = line.joined()
    assert playout.statistics().gaps == 4, "three losses and the end"
    quiet = np.abs(np.diff(sound)).max()
    assert np.abs(np.diff(heard)).max() < 2 * quiet
    # 40 ms of sound carried on: most of its energy is there.
    at = _delay_of(heard, sound) + 40 * FRAME
    assert np.sqrt(np.mean(heard[at : at + 2 * FRAME] ** 2)) > 0.6 * np.sqrt(np.mean(sound**2))


def test_a_pause_is_silent_and_what_follows_is_whole() -> None:
    sound = voice(4)
    sound[80 * FRAME : 120 * FRAME] = 0
    line = Line(sound, silent=range(80, 120))
    line.play()
    heard = line.joined()
    at = _delay_of(heard, sound)
    assert np.abs(heard[at + 90 * FRAME : at + 119 * FRAME]).max() == 0
    assert np.array_equal(heard[at + 121 * FRAME : at + 160 * FRAME], sound[121 * FRAME : 160 * FRAME])


def test_clocks_that_drift_are_followed() -> None:
    """A speaker that takes 0.3 % more samples than were recorded would be 90 ms off after half a minute."""
    for fast in (0.003, -0.003):
        line = Line(voice(30), speaker_fast=fast)
        playout = line.play()
        delays = _delays_ms(playout)
        assert np.ptp(delays[100:]) < 45
        counts = playout.statistics()
        assert counts.stretched + counts.gaps >= 7, "by a pitch period, or by 10 ms of sound carried on"
        assert counts.gaps <= 11
        assert counts.late == 0
        assert np.abs(np.diff(line.joined())).max() < 2 * np.abs(np.diff(line.sound)).max()


def test_a_line_that_becomes_late_is_waited_for() -> None:
    playout = AudioPlayout(lambda packet, frame_ms: np.full(FRAME, 0.1, np.float32))
    flying: list[tuple[float, AudioMessage]] = []
    for step in range(900):
        now = step * 0.01
        if step % 2 == 0:
            number = step // 2
            late_s = 0.03 if number < 150 else 0.15
            message = AudioMessage(frame_ms=20, sequence=number, time_ms=number * 20, frames=(b"1",))
            flying.append((now + late_s, message))
        while flying and flying[0][0] <= now:
            playout.push(flying[0][1], flying.pop(0)[0])
        playout.pull(480, now)
    counts = playout.statistics()
    assert counts.frames >= 430
    assert counts.late <= 8
    assert 150 <= counts.delays_ms[-1] <= 200


def test_hostile_times_and_numbers_cost_nothing_but_themselves() -> None:
    random = np.random.default_rng(2)
    playout = AudioPlayout(lambda packet, frame_ms: np.zeros(frame_ms * 48, np.float32))
    for step in range(2000):
        message = AudioMessage(
            frame_ms=int(random.choice([20, 40, 60])),
            sequence=int(random.integers(65_536)),
            time_ms=int(random.integers(65_536)),
            frames=(b"1",) * int(random.integers(1, 17)),
        )
        playout.push(message, step * 0.01)
        assert len(playout.pull(480, step * 0.01).samples) == 480


def test_damaged_frames_are_counted_and_carried_on() -> None:
    line = Line(voice(1))
    playout = AudioPlayout(line.decode)
    playout.push(AudioMessage(frame_ms=20, sequence=1, time_ms=20, frames=(b"\0", b"damaged", b"\2")), 0.1)
    for step in range(20):
        playout.pull(480, 0.1 + step * 0.01)
    counts = playout.statistics()
    assert (counts.damaged, counts.frames) == (1, 2)


def test_sound_waits_for_pictures_within_bounds() -> None:
    for wanted_s, least, most in ((0.2, 0.18, 0.23), (5.0, 0.28, 0.42), (0.0, 0.035, 0.08)):
        playout = AudioPlayout(lambda packet, frame_ms: np.zeros(FRAME, np.float32))
        playout.hold_to(wanted_s)
        for step in range(600):
            if step % 2 == 0 and step % 100 < 60:
                message = AudioMessage(frame_ms=20, sequence=step // 2, time_ms=step * 10, frames=(b"1",))
                playout.push(message, step * 0.01 + 0.03)
            playout.pull(480, step * 0.01 + 0.03)
        delay = playout.delay_s
        assert delay is not None
        assert least <= delay <= most


def test_pitch_and_pace() -> None:
    sound = voice(0.2, hz=200.0)  # 240 samples
    assert abs(pitch_period(sound[-1440:], 719) % 240 - 0) <= 4
    drawn, cut = longer(sound[:960], 480), shorter(sound[:960], 480)
    assert 960 < len(drawn) <= 1440
    assert 480 <= len(cut) < 960
    step = np.abs(np.diff(sound)).max()
    for changed in (drawn, cut):
        assert np.abs(np.diff(changed)).max() < 1.3 * step
        assert changed[0] == sound[0]
        assert changed[-1] == sound[959]
    assert longer(sound[:960], 100) is not None
    assert len(longer(sound[:960], 100)) == 960, "no room for a period"


def test_a_concealer_ends_in_silence() -> None:
    concealer = Concealer(voice(0.1))
    first = concealer.take(960)
    assert np.sqrt(np.mean(first**2)) > 0.1
    concealer.take(2880)
    assert concealer.silent
    assert not concealer.take(960).any()
    assert Concealer(np.zeros(0, np.float32)).silent
