"""The offline call's line: bytes against cases reckoned by hand, and when references are through."""

from __future__ import annotations

import pytest

from benchmarks.clip_budget import ClipBudget, ClipBudgetConfig
from benchmarks.offline_line import OfflineLine, OfflineLineConfig, WireBytes
from benchmarks.wire_rate_search import RateTarget

HEADERS = 20 + 8 + 29 + 12 + 16  # IPv4, UDP, DTLS, SCTP, DATA chunk


def test_motion_messages_are_padded_to_four() -> None:
    line = OfflineLine(OfflineLineConfig())
    assert line.send_motion(bytes(30))
    assert line.send_motion(bytes(33))
    assert line.wire == WireBytes(motion=HEADERS + 32 + HEADERS + 36)


def test_a_reference_travels_in_equal_pieces() -> None:
    line = OfflineLine(OfflineLineConfig(chunk_body_bytes=400, anchor_body_bytes=800))
    assert line.send_reference(bytes(1000), first=True)
    pieces = [14 + 500, 14 + 500]  # the longest pieces: nothing waits for the first picture
    first = sum(HEADERS + -(-piece // 4) * 4 for piece in pieces)
    assert line.wire == WireBytes(first_picture=first)
    assert line.wire.steady == 0
    assert line.send_reference(bytes(1000), first=False)
    later = sum(16 + -(-piece // 4) * 4 for piece in (14 + 334, 14 + 334, 14 + 332))
    assert line.wire == WireBytes(first_picture=first, references=later)


def test_anchors_count_apart_and_ride_with_motion() -> None:
    """One of a single piece has 3 bytes of the key channel around it; longer ones are cut, with 14 each."""
    line = OfflineLine(OfflineLineConfig(anchor_body_bytes=800))
    assert line.send_motion(bytes(30))
    assert line.send_anchor(bytes(800), with_motion=True)
    assert line.wire == WireBytes(motion=HEADERS + 32, anchors=16 + 804)
    assert line.send_anchor(bytes(801), with_motion=True)
    pieces = [14 + 401, 14 + 400]
    cut = sum(16 + -(-piece // 4) * 4 for piece in pieces)
    assert line.wire.anchors == 16 + 804 + cut
    assert line.wire.steady == line.wire.forward == HEADERS + 32 + 16 + 804 + cut


def test_an_anchor_is_there_with_its_motion_or_waits_its_turn() -> None:
    line = OfflineLine(OfflineLineConfig(kbps=8.0))  # 1,000 bytes a second
    assert line.send_anchor(bytes(81), with_motion=True)  # 100 bytes, as motion
    assert not line.send_reference(bytes(84), first=False)  # 116 bytes
    assert not line.send_anchor(b"b" * 81, with_motion=True), "a reference waits before it"
    through = line.advance(10.0, 11.0)
    assert [data[:1] for _, data in through] == [b"\0", b"b"]
    assert [time for time, _ in through] == pytest.approx([10.0 + 0.1 + 0.116, 10.0 + 0.1 + 0.116 + 0.1])
    assert not line.send_anchor(b"c" * 81, with_motion=False), "its datagram was lost"
    assert not line.send_anchor(b"d" * 2000, with_motion=True), "too long for a datagram"
    assert [data[:1] for _, data in line.advance(11.0, 20.0)] == [b"c", b"d"]


def test_later_references_count_apart_and_leave_in_the_company_of_motion() -> None:
    line = OfflineLine(OfflineLineConfig())
    line.send_reference(bytes(84), first=True)
    line.send_reference(bytes(84), first=False)
    assert line.send_feedback(bytes(12))
    assert line.wire == WireBytes(first_picture=HEADERS + 100, references=16 + 100, feedback=HEADERS + 12)
    assert line.wire.forward == HEADERS + 16 + 200


def test_references_wait_behind_motion_and_behind_each_other() -> None:
    line = OfflineLine(OfflineLineConfig(kbps=8.0))  # 1,000 bytes a second
    line.send_motion(bytes(7))  # 93 bytes with headers and padding
    assert not line.send_reference(b"a" * 284, first=False)  # 316 bytes: 16 of a DATA chunk, 16 of the key channel
    assert not line.send_reference(b"b" * 84, first=False)  # 116 bytes
    assert line.advance(10.0, 10.3) == []
    through = line.advance(10.3, 11.0)
    assert [data[:1] for _, data in through] == [b"a", b"b"]
    assert [time for time, _ in through] == pytest.approx([10.0 + 0.093 + 0.316, 10.0 + 0.093 + 0.316 + 0.116])
    assert line.advance(11.0, 20.0) == []


def test_without_a_rate_references_are_there_at_once() -> None:
    line = OfflineLine(OfflineLineConfig())
    assert line.send_reference(bytes(5000), first=False)
    assert line.advance(0.0, 100.0) == []


def test_loss_is_seeded_and_repeats_of_references_cost() -> None:
    lines = [OfflineLine(OfflineLineConfig(loss=0.3, seed=seed)) for seed in (5, 5, 6)]
    fates = [[line.send_motion(bytes(20)) for _ in range(400)] for line in lines]
    assert fates[0] == fates[1] != fates[2]
    assert 0.6 < sum(fates[0]) / 400 < 0.8
    sound = OfflineLine(OfflineLineConfig())
    for line in (*lines, sound):
        line.send_reference(bytes(40_000), first=False)
    assert 1.2 < lines[0].wire.references / sound.wire.references < 1.8


@pytest.mark.parametrize(
    "bad",
    [
        {"delay_s": -1.0},
        {"kbps": 0.0},
        {"loss": 1.0},
        {"chunk_body_bytes": 0},
        {"anchor_body_bytes": 0},
        {"delay_s": float("nan")},
    ],
)
def test_bad_lines_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        OfflineLineConfig(**bad)  # type: ignore[arg-type]


def budget(kbps: float, *, counts: bool = True) -> ClipBudget:
    target = RateTarget(kbps=kbps, first_picture_counts=counts)
    return ClipBudget(ClipBudgetConfig(target=target, seconds=10.0, frame_rate=25.0, start=100.0))


def test_what_motion_leaves_goes_to_references() -> None:
    # After 2 s motion took 2,000 bytes, which is 8 kbps, and the first picture 3,000, which over 10 s is 2.4 kbps.
    wire = WireBytes(first_picture=3000, motion=2000, references=1500)
    share = 250 / (16 + 264)  # a piece of 250 bytes, padded, with both chunk headers
    assert budget(20)(102.0, wire).reference_bps == pytest.approx((20_000 - 8_000 - 2_400) * share, abs=100)
    apart = budget(20, counts=False)(102.0, wire).reference_bps
    assert apart == pytest.approx((20_000 - 8_000) * share, abs=100)


def test_a_rate_that_motion_takes_leaves_references_nothing() -> None:
    assert budget(12)(109.0, WireBytes(motion=14_000)).reference_bps == 0
