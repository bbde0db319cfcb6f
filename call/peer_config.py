"""What one peer of a call is asked to do, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from adasr_core.engines.runner import EngineName
from call.audio_receiving import AudioReceivingReport
from call.audio_sending import AudioSendingReport
from call.audio_sources import Microphone
from call.channels import ChannelConfig
from call.control import Hello
from call.emulated_line import LineConfig
from call.liveness import LivenessConfig, PathQuality
from call.messages import TransportStatistics
from call.receiving import ReceivingReport
from call.sending_report import SendingReport
from call.signalling import InvitationKind
from call.sources import FrameSource
from receiver import ReceiverConfig
from sender import SenderConfig
from sender.audio_rate import LEAST_CAP_BPS
from sender.rate_control import RateControlConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerConfig:
    """What one peer does in a call."""

    offer: bool
    """True for the peer that makes the invitation, False for the one that answers it."""
    model: str = "edge"
    """Name or folder of the model."""
    engine: EngineName = "openvino"
    """What runs the networks."""
    device: str | None = None
    """The engine's device; None for the processor."""
    adapter: Path | None = None
    """Adapter of the person whom this peer will see."""
    sending_threads: int = 1
    """Threads of the sender's networks: the detector is small, and the other cores are busy rebuilding."""
    receiving_threads: int | None = 2
    """Threads of the receiver's networks; None for all cores."""
    source: FrameSource | None = None
    """Where frames come from; None sends nothing."""
    microphone: Microphone | None = None
    """Where sound comes from; None sends none."""
    receives: bool = True
    """Rebuild what the other peer sends."""
    remember: Path | None = None
    """Folder for pictures that are kept from call to call; None keeps nothing."""
    seconds: float | None = None
    """End the call so long after media began; None goes on until somebody hangs up or the source ends."""
    loopback_only: bool = False
    """Both peers are on this machine."""
    connect_timeout_s: float = 30.0
    """Time from the exchange of invitations to the end of the handshake."""
    rate: RateControlConfig = field(default_factory=RateControlConfig)
    """What the video may take of the line."""
    line: LineConfig | None = None
    """An emulated bad line for what this peer sends; None leaves the line as it is."""
    channels: ChannelConfig = field(default_factory=ChannelConfig)
    """How the channels share the line."""
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    """When silence becomes a matter."""
    sender: SenderConfig = field(default_factory=SenderConfig)
    """How frames become packets."""
    receiver: ReceiverConfig = field(default_factory=ReceiverConfig)
    """How packets become frames."""

    def __post_init__(self) -> None:
        """Check that sound fits under the cap. Raises ValueError."""
        cap_bps = self.rate.cap_bps
        if self.microphone is not None and cap_bps is not None and cap_bps < LEAST_CAP_BPS:
            raise ValueError(
                f"cap_bps: got {cap_bps:g} with a microphone, expected at least {LEAST_CAP_BPS:g}: sound would leave "
                "nothing for the picture; raise --max-kbps or leave --microphone out"
            )


class Signalling(Protocol):
    """Carries the two invitations between people or programs."""

    def publish(self, kind: InvitationKind, text: str) -> None:
        """Hand our half to the other peer."""

    def obtain(self, kind: InvitationKind) -> str:
        """Wait for the other peer's half. Raises OSError or ValueError when it will not come."""


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How a call stands, for people.

    Attributes:
        seconds: since media began; 0 before.
        frames_sent: frames sent so far.
        frames_shown: frames rebuilt so far.
        path: quality of the path.
        sent_bytes: bytes on the wire, headers included.
        received_bytes: the same for the other direction.
    """

    seconds: float
    frames_sent: int
    frames_shown: int
    path: PathQuality
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call went.

    Attributes:
        reason: why it ended; empty when it just ended.
        failed: it did not end by a goodbye in good order.
        remote: what the other peer spoke; None when the handshake was not reached.
        sending: what was sent; None when nothing was to be.
        receiving: what was rebuilt; None when nothing was to be.
        statistics: the transport's last totals.
        remembered: pictures of ours and of the other side's that were kept for later calls.
        sound_sent: what was sent of sound; None when none was to be.
        sound_heard: what was heard; None when nothing was to be.
    """

    reason: str
    failed: bool
    remote: Hello | None
    sending: SendingReport | None
    receiving: ReceivingReport | None
    statistics: TransportStatistics | None
    remembered: tuple[int, int] = (0, 0)
    sound_sent: AudioSendingReport | None = None
    sound_heard: AudioReceivingReport | None = None
