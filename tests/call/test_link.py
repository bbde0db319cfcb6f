import asyncio
import queue
import socket
import time

from call.link import MediaLink, open_transport_link
from call.messages import AcceptInvitation, EndCall, LinkMessage, LocalInvitation, ReceivedMotion, SendMotion


async def _eventually(holds: object) -> None:
    deadline = time.monotonic() + 5
    assert callable(holds)
    while not holds():
        assert time.monotonic() < deadline, "nothing happened within 5 s"
        await asyncio.sleep(0.01)


async def test_messages_pass_both_ways_in_order() -> None:
    ours, theirs = socket.socketpair()
    arrived: list[LinkMessage] = []
    lost: list[bool] = []
    media = MediaLink(ours, arrived.append, lambda: lost.append(True))
    transport = await open_transport_link(theirs)
    for index in range(5):
        media.send(SendMotion(bytes([index])))
        transport.send(ReceivedMotion(bytes([index])))
    assert [await transport.receive() for _ in range(5)] == [SendMotion(bytes([n])) for n in range(5)]
    await _eventually(lambda: len(arrived) == 5)
    assert arrived == [ReceivedMotion(bytes([n])) for n in range(5)]
    transport.send(LocalInvitation("last"))
    await transport.close()
    await _eventually(lambda: lost == [True])
    assert arrived[-1] == LocalInvitation("last")
    media.close()


async def test_the_transport_sees_that_the_media_process_is_gone() -> None:
    ours, theirs = socket.socketpair()
    transport = await open_transport_link(theirs)
    ours.sendall(b"\x00\x00\x00\x20half a frame")
    ours.close()
    assert await transport.receive() is None
    await transport.close()


async def test_a_media_process_that_does_not_read_costs_the_oldest_motion_only() -> None:
    ours, theirs = socket.socketpair()
    transport = await open_transport_link(theirs)
    for index in range(5000):
        transport.send(ReceivedMotion(index.to_bytes(2, "big") * 100))
        if index % 100 == 0:
            await asyncio.sleep(0)
    transport.send(LocalInvitation("still there"))
    assert transport.dropped > 1000
    arrived: queue.Queue[LinkMessage] = queue.Queue()
    media = MediaLink(ours, arrived.put, lambda: None)
    await _eventually(lambda: LocalInvitation("still there") in list(arrived.queue))
    await _eventually(lambda: ReceivedMotion((4999).to_bytes(2, "big") * 100) in list(arrived.queue))
    await transport.close()
    media.close()


async def test_a_transport_process_that_does_not_read_never_blocks_the_media() -> None:
    ours, theirs = socket.socketpair()
    media = MediaLink(ours, lambda message: None, lambda: None)
    start = time.monotonic()
    for _ in range(20_000):
        media.send(SendMotion(bytes(200)))
    media.send(AcceptInvitation("x"))
    media.send(EndCall(""))
    assert time.monotonic() - start < 3.0
    assert media.dropped > 1000
    theirs.close()
    media.close()
