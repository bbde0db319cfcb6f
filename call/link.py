"""The link between a media process and its transport process: framed messages on a socket pair.

Neither end ever waits for the other: each writes from a bounded queue that forgets the oldest motion first. Frames are
``length u32 big-endian`` and a pickled message; both ends are processes of one program on a private socket pair, so
pickle carries nothing from outside. End of file means that the other process is gone, however it went.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import struct
import threading
from collections.abc import Callable

from call.drop_oldest import DropOldestQueue
from call.messages import LANE_CAPACITIES, LinkMessage, lane_of

_LENGTH = struct.Struct("!I")
_MAX_FRAME_BYTES = 1 << 20


def _frame(message: LinkMessage) -> bytes:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class MediaLink:
    """The media process's end: a reader and a writer thread."""

    def __init__(
        self, end: socket.socket, on_message: Callable[[LinkMessage], None], on_lost: Callable[[], None]
    ) -> None:
        """Start the threads.

        Args:
            end: one end of the socket pair; owned from here on.
            on_message: called in the reader thread for every message; must not block.
            on_lost: called once in the reader thread when the other process is gone.
        """
        self._socket = end
        self._on_message = on_message
        self._on_lost = on_lost
        self._outbox: DropOldestQueue[LinkMessage] = DropOldestQueue(*LANE_CAPACITIES)
        self._threads = [
            threading.Thread(target=self._read, name="link-reader", daemon=True),
            threading.Thread(target=self._write, name="link-writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def dropped(self) -> int:
        """Messages forgotten because the transport process did not keep up."""
        return self._outbox.dropped

    def send(self, message: LinkMessage) -> None:
        """Queue a message; never blocks."""
        self._outbox.put(message, lane_of(message))

    def close(self) -> None:
        """End both threads and close the socket."""
        self._outbox.close()
        self._threads[1].join(1.0)
        with contextlib.suppress(OSError):  # the other process closed first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(1.0)
        self._socket.close()

    def _write(self) -> None:
        while (message := self._outbox.take()) is not None:
            try:
                self._socket.sendall(_frame(message))
            except OSError:
                return  # the reader reports the loss

    def _read(self) -> None:
        with self._socket.makefile("rb") as stream:
            while True:
                try:
                    header = stream.read(_LENGTH.size)
                    body = stream.read(_LENGTH.unpack(header)[0]) if len(header) == _LENGTH.size else b""
                except OSError:
                    body = b""
                if not body:
                    break
                self._on_message(pickle.loads(body))
        self._on_lost()


class TransportLink:
    """The transport process's end, on asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use ``open_transport_link`` instead."""
        self._reader = reader
        self._writer = writer
        self._outbox: DropOldestQueue[LinkMessage] = DropOldestQueue(*LANE_CAPACITIES)
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._write())

    @property
    def dropped(self) -> int:
        """Messages forgotten because the media process did not keep up."""
        return self._outbox.dropped

    def send(self, message: LinkMessage) -> None:
        """Queue a message; call in the event loop's thread."""
        self._outbox.put(message, lane_of(message))
        self._wake.set()

    async def receive(self) -> LinkMessage | None:
        """The next message; None when the media process is gone."""
        try:
            length = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))[0]
            message: LinkMessage = pickle.loads(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            return None
        return message

    async def close(self) -> None:
        """Send what is queued, then close."""
        self._outbox.close()
        self._wake.set()
        await asyncio.wait([self._task], timeout=1.0)
        self._task.cancel()
        self._writer.close()

    async def _write(self) -> None:
        try:
            while not (self._outbox.closed and len(self._outbox) == 0):
                message = self._outbox.take(0)
                if message is None:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                self._writer.write(_frame(message))
                await self._writer.drain()
        except OSError:
            return  # the reader reports the loss


async def open_transport_link(end: socket.socket) -> TransportLink:
    """Put the transport process's end of the socket pair on the running event loop."""
    end.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=end, limit=_MAX_FRAME_BYTES)
    writer.transport.set_write_buffer_limits(high=1 << 16)
    return TransportLink(reader, writer)
