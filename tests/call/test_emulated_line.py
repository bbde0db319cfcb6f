import pytest

from call.emulated_line import EmulatedLine, LineConfig, parse_line


def _open_line(config: LineConfig) -> EmulatedLine:
    line = EmulatedLine(config)
    line.call_began()
    return line


def _losses(config: LineConfig, count: int = 20_000) -> list[bool]:
    line = _open_line(config)
    return [not line.delays(100, index * 0.04) for index in range(count)]


def test_a_line_as_it_is_changes_nothing() -> None:
    line = _open_line(LineConfig())
    assert all(line.delays(1200, now / 10) == (0.0,) for now in range(100))


@pytest.mark.parametrize(("loss", "burst"), [(0.05, 1), (0.1, 1), (0.2, 1), (0.05, 8), (0.2, 8)])
def test_the_share_of_losses_is_what_was_asked_for(loss: float, burst: int) -> None:
    lost = _losses(LineConfig(loss=loss, burst=burst, seed=3))
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.12)


def test_bursts_are_at_least_as_long_as_asked_for() -> None:
    text = "".join("x" if lost else "." for lost in _losses(LineConfig(loss=0.1, burst=8)))
    lengths = [len(run) for run in text.strip("x").split(".") if run]
    assert lengths
    assert all(length % 8 == 0 for length in lengths)


def test_the_same_seed_gives_the_same_line() -> None:
    config = LineConfig(loss=0.1, jitter_ms=30, reorder=0.1, duplicate=0.1, seed=5)
    first, second = _open_line(config), _open_line(config)
    fates = [first.delays(200, now / 25) for now in range(500)]
    assert fates == [second.delays(200, now / 25) for now in range(500)]
    assert fates != [_open_line(LineConfig(loss=0.1, jitter_ms=30, reorder=0.1, duplicate=0.1)).delays(200, 0.0)] * 500


def test_delay_jitter_reordering_and_duplicates_keep_their_bounds() -> None:
    line = _open_line(LineConfig(delay_ms=50, jitter_ms=20, reorder=0.1, reorder_ms=100, duplicate=0.2))
    fates = [line.delays(100, index * 0.04) for index in range(5000)]
    delays = [delay for fate in fates for delay in fate]
    late = [delay for delay in delays if delay > 0.0701]
    assert min(delays) >= 0.05
    assert max(delays) <= 0.1701
    assert len(late) / len(delays) == pytest.approx(0.1, abs=0.02)
    assert sum(len(fate) == 2 for fate in fates) / len(fates) == pytest.approx(0.2, abs=0.03)


def test_the_rate_cap_serves_at_its_rate_and_its_queue_is_bounded() -> None:
    line = _open_line(LineConfig(rate_kbps=80, queue_bytes=3000))
    fates = [line.delays(1000, 0.0) for _ in range(5)]
    assert [fate[0] for fate in fates[:3]] == pytest.approx([0.1, 0.2, 0.3])
    assert fates[3:] == [(), ()]
    assert line.overflowed == 2
    assert line.delays(1000, 0.15)[0] == pytest.approx(0.25)
    assert line.delays(1000, 5.0)[0] == pytest.approx(0.1)


def test_an_outage_is_timed_from_the_first_media_message() -> None:
    line = _open_line(LineConfig(outage_at_s=2, outage_s=1))
    assert line.delays(100, 52.5)
    line.media_began(100.0)
    line.media_began(101.0)
    assert [bool(line.delays(100, now)) for now in (101.9, 102.0, 102.99, 103.01)] == [True, False, False, True]
    assert line.lost == 2


def test_the_connection_is_made_on_a_good_line_unless_asked_otherwise() -> None:
    assert all(EmulatedLine(LineConfig(loss=0.9)).delays(100, 0.0) for _ in range(50))
    bad = EmulatedLine(LineConfig(loss=0.9, handshake=True))
    assert not all(bad.delays(100, 0.0) for _ in range(50))


def test_the_text_form_is_read_field_by_field() -> None:
    text = "loss=0.05,burst=8,delay_ms=50,jitter_ms=50,reorder=0.1,duplicate=0.02,rate_kbps=40,queue_bytes=12000,"
    text += "outage_at_s=10,outage_s=5,seed=7, reorder_ms=80 , handshake=1"
    assert parse_line(text) == LineConfig(
        loss=0.05,
        burst=8,
        delay_ms=50,
        jitter_ms=50,
        reorder=0.1,
        reorder_ms=80,
        duplicate=0.02,
        rate_kbps=40,
        queue_bytes=12_000,
        outage_at_s=10,
        outage_s=5,
        handshake=True,
        seed=7,
    )
    assert parse_line("") == LineConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("los=0.1", "key of loss"),
        ("loss", "key=value"),
        ("loss=0.1,loss=0.2", "twice"),
        ("loss=much", "number"),
        ("burst=1.5", "whole number"),
        ("handshake=yes", "0 or 1"),
        ("loss=0.95", "loss"),
        ("loss=nan", "loss"),
        ("delay_ms=-1", "delay_ms"),
        ("burst=0", "burst"),
        ("rate_kbps=40,queue_bytes=100", "queue_bytes"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_line(text)
