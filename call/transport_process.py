"""The transport process: one call's network on an event loop of its own.

A busy Python thread beside the event loop raises the delay of a message from 0.5 ms to 10 ms (p50) and 130 ms (p99),
measured; so networks, capture and pictures live in another process. This one ends when the call ends or when its media
process is gone.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from call.link import MediaLink, TransportLink, open_transport_link
from call.messages import (
    AcceptInvitation,
    CallEnded,
    EndCall,
    LinkMessage,
    SendAudio,
    SendControl,
    SendFeedback,
    SendMotion,
    SendReference,
    SetKeyRate,
    ToTransport,
)
from call.transport import PeerTransport, TransportConfig

_EXIT_S = 6.0
_TERMINATE_S = 2.0


async def serve_call(end: socket.socket, config: TransportConfig) -> None:
    """Hold one call on the running event loop until it ends or the media process is gone."""
    link = await open_transport_link(end)
    transport = PeerTransport(config, link.send)
    transport.queue_dropped = lambda: link.dropped
    await transport.start()
    commands = asyncio.create_task(_obey(link, transport))
    transport.ended.add_done_callback(lambda _: commands.cancel())
    await asyncio.wait([commands])
    if not transport.ended.done():
        await transport.end("the other side's program stopped")
    ended = await transport.close()
    link.send(CallEnded(ended.reason, ended.failed, ended.statistics))
    await link.close()


async def _obey(link: TransportLink, transport: PeerTransport) -> None:
    while (message := await link.receive()) is not None:
        match message:
            case SendMotion():
                transport.send_motion(message.packet, message.anchor)
            case SendReference():
                transport.send_reference(message.data)
            case SendFeedback():
                transport.send_feedback(message.data)
            case SendAudio():
                transport.send_audio(message.frame)
            case SetKeyRate():
                transport.set_key_rate(message.bytes_per_s)
            case SendControl():
                transport.send_control(message.message)
            case AcceptInvitation():
                await transport.accept(message.text)
            case EndCall():
                await transport.end(message.reason)
            case _:
                raise AssertionError(f"a media process does not send {type(message).__name__}")


def run_transport(end: socket.socket, config: TransportConfig) -> None:
    """Entry point of the transport process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the media process, which ends the call in order
    logging.getLogger("aiortc").setLevel(logging.ERROR)
    logging.getLogger("aioice").setLevel(logging.ERROR)
    if sys.platform == "win32":
        # The Proactor loop's UDP can stop receiving on Windows.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(serve_call(end, config))
    else:
        import uvloop

        uvloop.run(serve_call(end, config))


class TransportProcess:
    """The media process's handle on its transport process."""

    def __init__(
        self, config: TransportConfig, on_message: Callable[[LinkMessage], None], on_lost: Callable[[], None]
    ) -> None:
        """Start the process.

        Args:
            config: what the transport needs to know.
            on_message: called in a thread of its own for every message; must not block.
            on_lost: called once when the process is gone, expected or not.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = socket.socketpair()
        self._process: BaseProcess = context.Process(
            target=run_transport, args=(theirs, config), name="adasr-transport", daemon=True
        )
        self._process.start()
        theirs.close()
        self._link = MediaLink(ours, on_message, on_lost)

    @property
    def pid(self) -> int | None:
        """Process id."""
        return self._process.pid

    @property
    def dropped(self) -> int:
        """Messages forgotten because the transport process did not keep up."""
        return self._link.dropped

    def send(self, message: ToTransport) -> None:
        """Queue a message; never blocks."""
        self._link.send(message)

    def close(self) -> None:
        """Wait for the process to end after ``CallEnded`` or ``EndCall``; make it end if it does not."""
        self._link.send(EndCall(""))
        self._process.join(_EXIT_S)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(_TERMINATE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_TERMINATE_S)
        self._link.close()
        self._process.close()
