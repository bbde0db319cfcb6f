"""When sound is sent, when it was recorded, and what it takes of the line."""

import numpy as np
import pytest

from sender.audio_clock import AudioClock
from sender.audio_gate import AudioGate
from sender.audio_rate import AudioRate, audio_rules, wire_bps
from sender.plan_choice import DelayMode

RANDOM = np.random.default_rng(3)


def _noise(level_db: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (10 ** (level_db / 20) * RANDOM.standard_normal(960)).astype(np.float32)


def test_silence_and_a_room_s_noise_are_not_sent() -> None:
    gate = AudioGate(0.02)
    assert not any(gate.passes(np.zeros(960, np.float32)) for _ in range(50))
    noisy = AudioGate(0.02)
    passed = [noisy.passes(_noise(-50)) for _ in range(300)]
    assert not any(passed[30:])


def test_speech_over_noise_passes_with_its_ends() -> None:
    gate = AudioGate(0.02)
    for _ in range(100):
        gate.passes(_noise(-55))
    assert gate.passes(_noise(-40)), "15 dB above the room"
    after = [gate.passes(_noise(-55)) for _ in range(30)]
    assert after == [True] * 12 + [False] * 18, "240 ms more"


def test_steady_music_is_no_noise() -> None:
    gate = AudioGate(0.02)
    assert all(gate.passes(_noise(-25)) for _ in range(600))


def test_frames_get_even_times_from_uneven_arrivals() -> None:
    clock = AudioClock(0.02)
    drifting = 0.0201  # the device is half a per cent slow
    times = [clock.frame(5 + (number + 1) * drifting + 0.008 * RANDOM.random()) for number in range(2000)]
    numbers, began = [number for number, _ in times], np.array([when for _, when in times])
    assert numbers == list(range(2000))
    assert np.abs(np.diff(began) - 0.02).max() < 0.0006
    assert abs(began[-1] - (5 + 1999 * drifting)) < 0.02


def test_a_device_that_paused_has_skipped_frames() -> None:
    clock = AudioClock(0.02)
    numbers, began = zip(*(clock.frame(end_s) for end_s in (1.02, 1.04, 3.06)), strict=True)
    assert numbers == (0, 1, 102)
    assert began == pytest.approx((1.0, 1.02, 3.04))


def test_what_sound_adds_to_the_wire() -> None:
    """A DATA chunk, 5 bytes of head, a byte of length a frame: docs/audio.md."""
    saving, lowest = audio_rules(DelayMode.SAVING), audio_rules(DelayMode.LOWEST)
    assert wire_bps(lowest, 16_000) == pytest.approx((16 + 5 + 1.5 + 2 * 41) * 8 / 0.04)
    assert wire_bps(saving, 6000) == pytest.approx(6000 * 46 / 45 + (16 + 5 + 1.5) * 8 / 0.33)
    assert wire_bps(saving, 6000, alone=True) == pytest.approx(wire_bps(saving, 6000) + 69 * 8 / 0.33)
    assert wire_bps(saving, 6000, repeats=1) == pytest.approx(wire_bps(saving, 6000) + 46 * 8 / 0.33)


def test_the_bitrate_steps_down_at_once_and_up_later() -> None:
    rate = AudioRate(audio_rules(DelayMode.LOWEST))
    seen = []
    for second in range(40):
        line_bps = 64_000.0 if second < 10 or second >= 20 else 24_000.0
        rate.follow(line_bps, lossy=False, now=float(second))
        rate.follow(line_bps, lossy=False, now=float(second))
        seen.append(rate.bitrate_bps)
    assert seen[:10] == [16_000] * 10
    assert seen[10] == 8000
    assert seen[20:28] == [12_000] * 8, "a step in eight seconds"
    assert seen[-1] == 16_000


def test_sound_is_kept_for_while_somebody_speaks() -> None:
    rate = AudioRate(audio_rules(DelayMode.SAVING))
    assert rate.reserve_bps(repeats=0, alone=False, now=1.0) == 0
    rate.spoke(1.0)
    assert 6000 < rate.reserve_bps(repeats=0, alone=False, now=2.0) < 7000
    assert rate.reserve_bps(repeats=0, alone=False, now=9.0) == 0


def test_repeats_are_what_the_line_carries() -> None:
    rate = AudioRate(audio_rules(DelayMode.BALANCED))
    assert rate.repeats(64_000, lossy=False) == 0
    assert rate.repeats(64_000, lossy=True) == 4
    assert AudioRate(audio_rules(DelayMode.SAVING)).repeats(11_400, lossy=True) == 0
