import pytest

from call.shown_frames import Outage, longest_freeze_ms, own_share, recovery_ms

OUTAGE = Outage(2.0, 3.0)


def test_only_a_frame_s_own_motion_counts_as_shown() -> None:
    sent = [65_500 + 40 * n for n in range(4)]
    shown = [time_ms & 0xFFFF for time_ms in sent]
    assert own_share(sent, shown, [False] * 4, None) == 1.0
    assert own_share(sent, shown, [False, True, False, False], None) == 0.75
    assert own_share(sent, shown[:2], [False] * 2, None) == 0.5
    assert own_share([], [], [], None) == 0.0


def test_frames_sent_into_an_outage_do_not_count() -> None:
    sent = [1_900, 2_100, 2_900, 3_100]
    assert own_share(sent, [1_900, 3_100], [False, False], None) == 0.5
    assert own_share(sent, [1_900, 3_100], [False, False], OUTAGE) == 1.0


def test_the_longest_freeze_is_the_longest_gap() -> None:
    assert longest_freeze_ms([1.0, 1.04, 1.3, 1.34], None) == pytest.approx(260)
    assert longest_freeze_ms([1.0], None) is None


def test_an_outage_s_own_gap_is_told_as_recovery() -> None:
    shown = [1.9, 1.95, 2.02, 3.2, 3.24]
    assert longest_freeze_ms(shown, OUTAGE) == pytest.approx(50)
    assert recovery_ms(shown, OUTAGE) == pytest.approx(200)
    assert recovery_ms(shown, None) is None
    assert recovery_ms([1.9, 2.1], OUTAGE) is None
