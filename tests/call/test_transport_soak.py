"""Two ends of a call in one event loop: nothing may be left when a call is over."""

import asyncio
import os
from dataclasses import replace

import pytest

from call.control import ReferenceAck
from call.messages import Accepted, CallEnded, FromTransport, LocalInvitation, ReceivedControl, ReceivedMotion
from call.transport import PeerTransport
from tests.call.loopback import CONFIG


class End:
    """One end and what it reported."""

    def __init__(self, offer: bool) -> None:
        self.messages: asyncio.Queue[FromTransport] = asyncio.Queue()
        self.transport = PeerTransport(replace(CONFIG, offer=offer), self.messages.put_nowait)

    async def next(self, kind: type[FromTransport]) -> FromTransport:
        while True:
            message = await asyncio.wait_for(self.messages.get(), 10)
            if isinstance(message, kind):
                return message


async def _hold_a_call() -> tuple[CallEnded, CallEnded]:
    first, second = End(True), End(False)
    await first.transport.start()
    await second.transport.start()
    offer = await first.next(LocalInvitation)
    assert isinstance(offer, LocalInvitation)
    await second.transport.accept(offer.text)
    answer = await second.next(LocalInvitation)
    assert isinstance(answer, LocalInvitation)
    await first.transport.accept(answer.text)
    await first.next(Accepted)
    await second.next(Accepted)
    first.transport.send_motion(b"motion")
    second.transport.send_control(ReferenceAck(1, 2))
    assert await second.next(ReceivedMotion) == ReceivedMotion(b"motion")
    assert await first.next(ReceivedControl) == ReceivedControl(ReferenceAck(1, 2))
    await first.transport.end("")
    return await first.transport.close(), await second.transport.close()


async def test_calls_leave_no_task_and_no_descriptor() -> None:
    await _hold_a_call()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for _ in range(3):
        for ended in await _hold_a_call():
            assert not ended.failed
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.parametrize("text", ["", "adasr1-answer:eNorszXg5cq1TSwoyMlMTizJzM9TsFSIUIjk5QIAbfwHjQ", "v=0"])
async def test_an_invitation_that_cannot_be_used_ends_the_call_at_once(text: str) -> None:
    end = End(True)
    await end.transport.start()
    await end.transport.accept(text)
    ended = await end.transport.close()
    assert ended.failed
    assert ended.reason.startswith("invitation")


async def test_an_answer_without_any_media_description_is_refused() -> None:
    end, other = End(True), End(True)
    await end.transport.start()
    await other.transport.start()
    offer = await other.next(LocalInvitation)
    assert isinstance(offer, LocalInvitation)
    await end.transport.accept(offer.text)
    ended = await end.transport.close()
    await other.transport.close()
    assert "other way round" in ended.reason


async def test_nothing_is_sent_before_the_handshake() -> None:
    end = End(True)
    await end.transport.start()
    end.transport.send_motion(b"x")
    end.transport.send_reference(b"x")
    end.transport.send_control(ReferenceAck(0, 0))
    ended = await end.transport.close()
    assert ended.statistics is not None
    assert ended.statistics.motion_sent == 0
    assert ended.statistics.now.count.sent_datagrams == 0
