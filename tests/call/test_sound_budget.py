"""What sound takes of a line, in made-up time: everything real but threads, sockets, microphone and pictures."""

import bisect
from itertools import accumulate
from pathlib import Path

import pytest

from adasr_core.bundle import ModelBundle
from call.emulated_line import parse_line
from sender.plan_choice import DelayMode
from sender.rate_control import RateControlConfig, RateController
from tests.call.virtual_call import Studio, VirtualResult, open_studio
from tests.call.virtual_sound import hold_sound_call

DATAGRAM_BITS = 8 * 1200
MESSAGE_BITS = 8 * 460  # eight frames of motion and six of sound
LINE, BACK = parse_line("delay_ms=20"), parse_line("delay_ms=20,seed=2")


@pytest.fixture(scope="module")
def studio(bundle: ModelBundle, sample_clip: Path) -> Studio:
    return open_studio(bundle, sample_clip)


def _most_bits(result: VirtualResult, since_s: float) -> float:
    """On the wire in any 2 s that begin after `since_s`."""
    times = [time for time, _ in result.wire]
    totals = [0, *accumulate(size for _, size in result.wire)]
    ends = [(index, bisect.bisect_left(times, time + 2)) for index, time in enumerate(times) if time >= since_s]
    return max(8 * (totals[end] - totals[begin]) for begin, end in ends)


def test_a_cap_of_12_kbps_holds_speech_and_motion(studio: Studio) -> None:
    rate = RateControlConfig(mode=DelayMode.SAVING, cap_bps=12_000)
    result, sound = hold_sound_call(studio, rate, 14.0, LINE, BACK)
    assert _most_bits(result, 0.0) <= 24_000 + DATAGRAM_BITS
    assert result.kbps() <= 12.0
    assert _most_bits(result, 8.0) <= 24_000 + MESSAGE_BITS, "no first picture any more"
    assert len(sound.arrived) >= 0.97 * sound.frames, "all that was said"
    # Motion goes on, in longer messages and coarser: fewer pictures than without sound.
    after = [ms for ms in result.sent_ms if ms > 8000]
    assert len(after) > 6 * 12
    assert result.shown_share() > 0.98
    assert {plan.frames_per_message for plan in result.plans[200:]} <= {4, 8}


@pytest.mark.parametrize(
    ("mode", "pictures_kbps", "sound_kbps", "frames"),
    [(DelayMode.LOWEST, 23.5, 21.0, 1), (DelayMode.BALANCED, 23.5, 14.8, 2), (DelayMode.SAVING, 11.1, 6.9, 7)],
)
def test_without_a_cap_sound_comes_on_top_and_travels_with_motion(
    studio: Studio, mode: DelayMode, pictures_kbps: float, sound_kbps: float, frames: int
) -> None:
    result, sound = hold_sound_call(studio, RateControlConfig(mode=mode), 6.0, LINE, BACK)
    assert result.kbps() <= 1.08 * (pictures_kbps + sound_kbps)
    assert result.plans[-1].frames_per_message == frames, "as without sound"
    assert sound.alone <= 5, "before the first picture is there"
    assert sound.messages < 1.2 * len(result.sent_ms) / frames
    assert result.shown_share() > 0.98
    assert max(sound.waited_s) < 0.36


def test_a_narrow_line_makes_sound_smaller(studio: Studio) -> None:
    line = parse_line("delay_ms=20,rate_kbps=24")
    result, sound = hold_sound_call(studio, RateControlConfig(), 8.0, line, BACK)
    assert sound.bitrates_bps[-1] == 8000
    assert len(sound.arrived) > 0.97 * sound.frames
    assert result.shown_share() > 0.9


def test_what_sound_takes_is_taken_from_a_cap_alone() -> None:
    def reference_bps(cap_bps: float | None, audio_bps: float) -> float:
        controller = RateController(RateControlConfig(mode=DelayMode.SAVING, cap_bps=cap_bps))
        controller.set_audio(audio_bps)
        return controller.plan(0.0).reference_bps

    assert reference_bps(20_000, 5000) < reference_bps(20_000, 0) - 2000
    assert reference_bps(None, 5000) == pytest.approx(reference_bps(None, 0), abs=400)
    with pytest.raises(ValueError, match="audio_bps"):
        RateController().set_audio(-1)
