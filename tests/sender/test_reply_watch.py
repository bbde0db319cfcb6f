from dataclasses import dataclass, field

import pytest

from adasr_core.bitstream.feedback import MotionFeedback
from sender.reply_watch import ReplyWatch

RTT_S = 0.06
MESSAGE_S = 0.28
FRAMES = 7


def _feedback(newest: int, missing: frozenset[int] = frozenset()) -> MotionFeedback:
    received = sum(1 << bit for bit in range(32) if (newest - 1 - bit) & 0xFF not in missing)
    return MotionFeedback(sequence=newest & 0xFF, received=received, time_ms=0, transit_ms=500, held_ms=0, lost=0)


@dataclass
class _Line:
    """Messages every 280 ms, each answered a round trip later or as much later as is asked for."""

    watch: ReplyWatch = field(default_factory=ReplyWatch)
    messages: int = 0

    def leave(self) -> float:
        """Send the next message; when it left."""
        now = MESSAGE_S * self.messages
        self.messages += 1
        self.watch.on_message((FRAMES * self.messages - 1) & 0xFF, now)
        return now

    def answer(self, now: float, missing: frozenset[int] = frozenset()) -> None:
        """The newest message is answered at `now`."""
        self.watch.on_feedback(_feedback(FRAMES * self.messages - 1, missing), RTT_S, now)

    def noticed_ms(self, left_s: float, *, lone_losses: bool = False) -> int:
        """Milliseconds after `left_s` at which an answer is first overdue; 2000 when it is not within 2 s."""
        for step in range(2000):
            if self.watch.overdue(RTT_S, left_s + step / 1000, lone_losses=lone_losses):
                return step
        return 2000


def _answered(count: int, late_s: float = 0.0) -> _Line:
    line = _Line()
    for _ in range(count):
        line.answer(line.leave() + RTT_S + late_s)
    return line


def test_a_line_that_answers_in_time_is_never_overdue() -> None:
    line = _Line()
    for number in range(400):  # the sequence numbers wrap more than ten times
        left = line.leave()
        late_ms = 15 * (number % 3)
        assert number == 0 or line.noticed_ms(left) < 200, "without an answer it would be"
        assert line.noticed_ms(left) > 60 + late_ms
        line.answer(left + RTT_S + late_ms / 1000)
        assert not line.watch.overdue(RTT_S, left + MESSAGE_S)


def test_the_first_answer_missed_is_noticed_soon_and_for_a_second() -> None:
    line = _answered(20)
    left = line.leave()
    first = line.noticed_ms(left)
    assert 90 <= first <= 120
    for step in range(first, first + 999):
        assert line.watch.overdue(RTT_S, left + step / 1000)
    assert not line.watch.overdue(RTT_S, left + (first + 1002) / 1000), "an outage is no burst"


def test_any_message_answered_ends_it() -> None:
    line = _answered(20)
    left = line.leave()
    newest = FRAMES * line.messages
    line.watch.on_message(newest & 0xFF, left + 0.12)
    assert line.watch.overdue(RTT_S, left + 0.17)
    line.watch.on_feedback(_feedback(newest, frozenset(range(newest - FRAMES, newest))), RTT_S, left + 0.18)
    assert not line.watch.overdue(RTT_S, left + 0.9)


def test_answers_that_come_late_are_waited_for() -> None:
    prompt, slow = _answered(40), _answered(40, late_s=0.09)
    assert 60 <= slow.noticed_ms(slow.leave()) - prompt.noticed_ms(prompt.leave()) <= 90


def test_one_answer_that_was_lost_changes_little() -> None:
    """The answer to the next message then covers both; so late is no answer by itself."""
    line = _answered(40)
    for number in range(30):
        left = line.leave()
        if number % 15:
            line.answer(left + RTT_S)
    line.answer(line.leave() + RTT_S)
    assert line.noticed_ms(line.leave()) <= 120


def test_a_message_lost_is_no_measure_of_how_late_answers_come() -> None:
    line = _answered(20)
    for _ in range(40):
        first = FRAMES * line.messages
        lost = frozenset(number & 0xFF for number in range(first, first + FRAMES))
        line.leave()
        line.answer(line.leave() + RTT_S, lost)
    assert line.noticed_ms(line.leave()) <= 120


def test_lone_losses_need_a_second_message_without_an_answer() -> None:
    line = _answered(20)
    left = line.leave()
    assert line.noticed_ms(left) <= 120
    assert line.noticed_ms(left, lone_losses=True) == 2000
    second = line.leave()
    assert 90 <= line.noticed_ms(second, lone_losses=True) <= 120


def test_the_receiver_s_own_pace_is_waited_for() -> None:
    """Messages every 120 ms are answered every 240."""
    watch = ReplyWatch()
    for number in range(60):
        left = 0.12 * number
        watch.on_message(number & 0xFF, left)
        assert not watch.overdue(RTT_S, left)
        if number % 2 == 0:
            watch.on_feedback(_feedback(number), RTT_S, left + RTT_S)


def test_nothing_is_overdue_before_the_line_is_known() -> None:
    line = _Line()
    left = line.leave()
    assert line.noticed_ms(left) == 2000, "nothing was answered yet"
    line.answer(left + RTT_S)
    left = line.leave()
    assert not line.watch.overdue(None, left + 0.5), "the round trip is not known"


@pytest.mark.parametrize("sequence", [3, 200, 255])
def test_an_answer_to_what_was_never_sent_has_no_effect(sequence: int) -> None:
    line = _answered(3)
    left = line.leave()
    line.watch.on_feedback(_feedback(sequence), RTT_S, left + 0.01)
    assert line.watch.overdue(RTT_S, left + 0.2)
