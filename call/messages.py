"""What a media process and its transport process tell each other (frozen values, pickled on a private socket pair)."""

from __future__ import annotations

from dataclasses import dataclass

from call.control import ControlMessage, Hello
from call.liveness import PathQuality
from call.wire_meter import WireCount
from sender.audio_gather import AudioFrame


@dataclass(frozen=True, slots=True)
class AcceptInvitation:
    """To the transport: the text that the other peer made."""

    text: str


@dataclass(frozen=True, slots=True)
class SendControl:
    """To the transport: put a message on the control channel."""

    message: ControlMessage


@dataclass(frozen=True, slots=True)
class SendMotion:
    """To the transport: one packed `MotionMessage`, a datagram of its own, and the anchor of its newest frame.

    anchor: a packed `AnchorPacket` that leaves in the same datagram where it fits; None: there is none.
    """

    packet: bytes
    anchor: bytes | None = None


@dataclass(frozen=True, slots=True)
class SendReference:
    """To the transport: one packed reference packet."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendFeedback:
    """To the transport: one packed `MotionFeedback`; a newer one replaces one that has not left."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SendAudio:
    """To the transport: one frame of sound, which waits there for a motion message to leave with."""

    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class SetKeyRate:
    """To the transport: pace references at this many bytes a second from now on."""

    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class EndCall:
    """To the transport: say goodbye and close."""

    reason: str


@dataclass(frozen=True, slots=True)
class LocalInvitation:
    """From the transport: the text to hand to the other peer."""

    text: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """From the transport: connected, and the handshake found the peers compatible."""

    remote: Hello


@dataclass(frozen=True, slots=True)
class ReceivedControl:
    """From the transport: a control message that concerns the media (ready, references)."""

    message: ControlMessage


@dataclass(frozen=True, slots=True)
class ReceivedMotion:
    """From the transport: one `MotionMessage`, still packed."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class ReceivedReference:
    """From the transport: one reference packet, still packed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReceivedFeedback:
    """From the transport: one `MotionFeedback`, still packed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ReceivedAudio:
    """From the transport: one `AudioMessage`, still packed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class WireMark:
    """The wire's totals at one moment (seconds, monotonic)."""

    time_s: float
    count: WireCount


@dataclass(frozen=True, slots=True)
class TransportStatistics:
    """From the transport, twice a second and once at the end.

    Attributes:
        now: totals now.
        first_media: totals just before the first reference or motion packet, either way; None before it.
        first_motion: totals just before the first motion message, either way; None before it.
        last_motion: totals just after the latest motion message; None before it.
        motion_sent: motion packets sent.
        motion_dropped: motion packets dropped because the channel was still busy.
        motion_received: motion packets received.
        references_sent: references handed over completely.
        malformed: messages of the peer that could not be read.
        path: quality of the path.
        rtt_ms: shortest recent round trip, None before the first pong.
        references_failed: references given up, refused or forgotten on their way.
        queue_dropped: messages that the bounded queues towards the media process forgot.
        audio_sent: messages of sound sent.
        audio_alone: of these, those that left without a motion message.
        audio_bytes: their bytes, without any transport header.
        audio_received: messages of sound received.
    """

    now: WireMark
    first_media: WireMark | None
    first_motion: WireMark | None
    last_motion: WireMark | None
    motion_sent: int
    motion_dropped: int
    motion_received: int
    references_sent: int
    malformed: int
    path: PathQuality
    rtt_ms: float | None
    queue_dropped: int
    references_failed: int = 0
    audio_sent: int = 0
    audio_alone: int = 0
    audio_bytes: int = 0
    audio_received: int = 0


@dataclass(frozen=True, slots=True)
class CallEnded:
    """From the transport, last: why the call is over; ``failed`` when it did not end by a goodbye."""

    reason: str
    failed: bool
    statistics: TransportStatistics | None


ToTransport = (
    AcceptInvitation | SendControl | SendMotion | SendReference | SendFeedback | SendAudio | SetKeyRate | EndCall
)
FromTransport = (
    LocalInvitation
    | Accepted
    | ReceivedControl
    | ReceivedMotion
    | ReceivedReference
    | ReceivedFeedback
    | ReceivedAudio
    | TransportStatistics
    | CallEnded
)
LinkMessage = ToTransport | FromTransport

EVENT_LANE, REFERENCE_LANE, MOTION_LANE, FEEDBACK_LANE, AUDIO_LANE = 0, 1, 2, 3, 4
LANE_CAPACITIES = (256, 16, 8, 8, 32)


def lane_of(message: LinkMessage) -> int:
    """The lane of a bounded queue that a message belongs to."""
    if isinstance(message, SendMotion | ReceivedMotion):
        return MOTION_LANE
    if isinstance(message, SendFeedback | ReceivedFeedback):
        return FEEDBACK_LANE
    if isinstance(message, SendAudio | ReceivedAudio):
        return AUDIO_LANE
    return REFERENCE_LANE if isinstance(message, SendReference | ReceivedReference) else EVENT_LANE
