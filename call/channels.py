"""The three data channels of a call, negotiated by number so that nothing is announced in band.

======== == ============================= ==================================================
name     id delivery                      carries
======== == ============================= ==================================================
control  0  reliable, ordered             msgpack messages (call.control)
key      1  reliable, ordered             references in paced chunks (call.key_chunks)
motion   2  unordered, never repeated     one to four motion packets (call.motion_bundle)
======== == ============================= ==================================================

What the peer sends is caught here: a malformed message is counted and dropped. No handler may raise, because aiortc
closes the connection when one does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aiortc import RTCDataChannel, RTCPeerConnection
from aiortc.exceptions import InvalidStateError

from adasr_core.bitstream.errors import BitstreamError
from call.control import ControlMessage, pack_control, unpack_control
from call.drop_oldest import DropOldestQueue
from call.key_chunks import ChunkAssembler, Pacer, split_chunks
from call.motion_bundle import MAX_PACKETS, bundle_packets, split_bundle

_PARTIAL_BUNDLE_S = 0.15
_BUSY_POLL_S = 0.002
_REFERENCES_WAITING = 16

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelConfig:
    """How the channels share the line."""

    frames_per_message: int = 1
    """Motion packets in one message, 1 to 4: each more saves 93 bytes a frame and costs a frame time of delay."""
    key_bytes_per_s: float = 110_000.0
    """Rate of references in bytes a second: one chunk every 10 ms leaves motion undelayed."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a value out of range.
        """
        if not 1 <= self.frames_per_message <= MAX_PACKETS:
            raise ValueError(f"frames_per_message: got {self.frames_per_message}, expected 1 to {MAX_PACKETS}")
        if self.key_bytes_per_s <= 0:
            raise ValueError(f"key_bytes_per_s: got {self.key_bytes_per_s}, expected a positive rate")


class ChannelListener(Protocol):
    """What the channels report; every method is called in the event loop and must not block."""

    def on_open(self) -> None:
        """All three channels are open."""

    def on_control(self, message: ControlMessage) -> None:
        """A control message arrived."""

    def on_motion(self, packets: list[bytes]) -> None:
        """Motion packets arrived, oldest first."""

    def on_reference(self, data: bytes) -> None:
        """A whole reference arrived."""

    def before_media(self, *, motion: bool) -> None:
        """A reference or motion message is about to be sent."""

    def after_motion(self) -> None:
        """A motion message was sent."""


class Channels:
    """Sends and receives on the three channels of one peer connection."""

    def __init__(self, connection: RTCPeerConnection, config: ChannelConfig, listener: ChannelListener) -> None:
        """Create the channels; call before the session description is made."""
        self._config = config
        self._listener = listener
        self._control = connection.createDataChannel("control", negotiated=True, id=0)
        self._key = connection.createDataChannel("key", negotiated=True, id=1)
        self._motion = connection.createDataChannel("motion", negotiated=True, id=2, ordered=False, maxRetransmits=0)
        self._assembler = ChunkAssembler()
        self._references: DropOldestQueue[bytes] = DropOldestQueue(_REFERENCES_WAITING)
        self._reference_waiting = asyncio.Event()
        self._bundle: list[bytes] = []
        self._bundle_timer: asyncio.TimerHandle | None = None
        self._sender: asyncio.Task[None] | None = None
        self.motion_sent = 0
        self.motion_dropped = 0
        self.references_sent = 0
        self.malformed = 0
        for channel in (self._control, self._key, self._motion):
            channel.on("open", self._opened)
            channel.on("message", self._receiver(channel))

    @property
    def open(self) -> bool:
        """True while all three channels can carry data."""
        return all(channel.readyState == "open" for channel in (self._control, self._key, self._motion))

    def send_control(self, message: ControlMessage) -> None:
        """Send a control message; dropped when the channel is closed, which ends the call anyway."""
        try:
            self._control.send(pack_control(message))
        except InvalidStateError:
            _logger.debug("control channel is %s, dropped %s", self._control.readyState, type(message).__name__)

    def send_motion(self, packet: bytes) -> None:
        """Send a packet with its bundle; dropped rather than queued when the channel is busy."""
        self._bundle.append(packet)
        if len(self._bundle) >= self._config.frames_per_message:
            self.flush_motion()
        elif self._bundle_timer is None:
            self._bundle_timer = asyncio.get_running_loop().call_later(_PARTIAL_BUNDLE_S, self.flush_motion)

    def flush_motion(self) -> None:
        """Send an incomplete bundle now."""
        if self._bundle_timer is not None:
            self._bundle_timer.cancel()
            self._bundle_timer = None
        packets, self._bundle = self._bundle, []
        if not packets:
            return
        if self._motion.readyState != "open" or self._motion.bufferedAmount > 0:
            self.motion_dropped += len(packets)
            return
        self._listener.before_media(motion=True)
        self._motion.send(bundle_packets(packets))
        self.motion_sent += len(packets)
        self._listener.after_motion()

    def send_reference(self, data: bytes) -> None:
        """Queue a reference; it leaves in paced chunks."""
        self._references.put(data)
        self._reference_waiting.set()
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_references())

    async def close(self) -> None:
        """End the sender of references."""
        if self._bundle_timer is not None:
            self._bundle_timer.cancel()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    async def _send_references(self) -> None:
        pacer = Pacer(time.monotonic(), bytes_per_s=self._config.key_bytes_per_s, burst_bytes=1100.0)
        transfer = 0
        while True:
            data = self._references.take(0)
            if data is None:
                self._reference_waiting.clear()
                await self._reference_waiting.wait()
                continue
            self._listener.before_media(motion=False)
            for chunk in split_chunks(data, transfer):
                while (delay := pacer.delay(len(chunk), time.monotonic())) > 0:
                    await asyncio.sleep(delay)
                while self._key.bufferedAmount > 0:  # the line is slower than the pace: never more than one waits
                    await asyncio.sleep(_BUSY_POLL_S)
                if self._key.readyState != "open":
                    return
                self._key.send(chunk)
            transfer += 1
            self.references_sent += 1

    def _opened(self) -> None:
        if self.open:
            self._listener.on_open()

    def _receiver(self, channel: RTCDataChannel) -> Callable[[bytes | str], None]:
        def receive(message: bytes | str) -> None:
            try:
                if isinstance(message, str):
                    raise BitstreamError(f"channel {channel.label}: got text, expected binary")
                self._received(channel, message)
            except BitstreamError as error:
                self.malformed += 1
                _logger.debug("dropped a message: %s", error)

        return receive

    def _received(self, channel: RTCDataChannel, message: bytes) -> None:
        if channel is self._motion:
            self._listener.on_motion(split_bundle(message))
        elif channel is self._control:
            self._listener.on_control(unpack_control(message))
        else:
            data = self._assembler.receive(message)
            if data is not None:
                self._listener.on_reference(data)
