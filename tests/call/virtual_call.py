"""A whole call in made-up time: everything but threads, sockets and the networks' arithmetic.

Sender, receiver, rate control, key transfer and the emulated line are the real ones, so are the detector's keypoints
(computed once for every picture of the sample clip). Pictures are not rebuilt: what is shown, and when, does not depend
on how fast this machine is.
"""

from __future__ import annotations

import heapq
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from adasr.video_file import open_video
from adasr_core.bitstream import BitstreamError, MotionCodec, MotionFeedback
from adasr_core.bundle import ModelBundle
from adasr_core.engines import Detection, FaceModel, ReferenceFeatures
from adasr_core.geometry import MotionParameters
from call.emulated_line import EmulatedLine, LineConfig
from call.feedback_pace import FeedbackPace
from call.key_receiver import KeyReceiver
from call.key_sender import KeySender, KeySenderConfig
from call.key_transfer import KeyChunk, unpack_key_message
from call.motion_delay import MotionDelay
from call.sending import PICTURES_UNDER_WAY, call_sender_config
from call.shown_frames import Outage, longest_freeze_ms, own_share, recovery_ms
from receiver import Receiver, ReceiverStatistics
from sender import CropMode, RatePlan, Sender
from sender.rate_control import LineFigures, RateControlConfig, RateController
from sender.wire_cost import DTLS_BYTES, IP_UDP_BYTES, SCTP_HEADER_BYTES, chunk_bytes

Image = npt.NDArray[np.uint8]

_STEP_S = 0.005
_FRAME_S = 0.04
_CODING_S = 0.015
_FRAMES = 100
_ACKNOWLEDGEMENT_BYTES = 16
_PING_BYTES = (217, 277)  # the three at the beginning in one datagram, and their answers
_KEY_COMPANY_S = 0.05
_BACK = LineConfig()
_STILL = np.zeros((2, 1, 1), np.float32)


class UnpaintedModel(FaceModel):
    """The detector's answers, each computed once; pictures are left grey."""

    def remember(self) -> UnpaintedModel:
        """Begin with no answer known."""
        self._known: dict[int, Detection] = {}
        return self

    def detect(self, image: Image) -> Detection:
        key = zlib.crc32(image.tobytes())
        if key not in self._known:
            self._known[key] = super().detect(image)
        return self._known[key]

    def encode(self, picture: Image) -> ReferenceFeatures:
        return ReferenceFeatures()

    def rebuild(self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters) -> Image:
        return np.full((self.frame_px, self.frame_px, 3), 128, np.uint8)

    def flow(
        self, features: ReferenceFeatures, reference: MotionParameters, driving: MotionParameters
    ) -> npt.NDArray[np.float32]:
        return _STILL


@dataclass(frozen=True)
class Studio:
    """What every virtual call needs, loaded once."""

    model: UnpaintedModel
    codec: MotionCodec
    pictures: list[Image]


def open_studio(bundle: ModelBundle, clip: Path) -> Studio:
    """Load the detector and the first four seconds of the clip."""
    model = UnpaintedModel.load(bundle, threads=1, parts=("detector",)).remember()
    pictures = []
    for frame in open_video(clip).frames():
        pictures.append(frame.image)
        if len(pictures) == _FRAMES:
            break
    return Studio(model, MotionCodec(bundle.tables(), bundle.manifest.keypoints), pictures)


@dataclass
class VirtualResult:
    """What happened.

    wire: (time, bytes) of every datagram of the sender; sent_ms: capture times of frames sent; key_messages: chunks of
    references and anchors that left.
    """

    wire: list[tuple[float, int]] = field(default_factory=list)
    sent_ms: list[int] = field(default_factory=list)
    shown_ms: list[int] = field(default_factory=list)
    shown_s: list[float] = field(default_factory=list)
    made_up: list[bool] = field(default_factory=list)
    plans: list[RatePlan] = field(default_factory=list)
    key_messages: list[bytes] = field(default_factory=list)
    motion_bytes: int = 0
    references: int = 0
    anchors: int = 0
    feedback_sent: int = 0
    outage: Outage | None = None
    statistics: ReceiverStatistics | None = None
    figures: LineFigures | None = None

    def kbps(self) -> float:
        """Mean rate on the wire from the first byte to the last."""
        span = self.wire[-1][0] - self.wire[0][0]
        return sum(size for _, size in self.wire) * 8 / 1000 / span

    def shown_share(self) -> float:
        """Frames that came too late to be shown before the end are left out."""
        sent = [ms for ms in self.sent_ms if ms <= self.sent_ms[-1] - 500]
        return own_share(sent, [ms & 0xFFFF for ms in self.shown_ms], self.made_up, self.outage)

    def key_wire_share(self) -> float:
        """Bytes of chunks that left, repeats included, against those of the chunks."""
        return sum(map(len, self.key_messages)) / sum(map(len, set(self.key_messages)))

    def freeze_ms(self) -> float:
        longest = longest_freeze_ms(self.shown_s, self.outage)
        assert longest is not None
        return longest

    def recovery_ms(self) -> float:
        after = recovery_ms(self.shown_s, self.outage)
        assert after is not None
        return after


@dataclass(order=True)
class _Arrival:
    time: float
    order: int
    forward: bool = field(compare=False)
    messages: list[tuple[str, bytes]] = field(compare=False)


class _VirtualCall:
    def __init__(self, studio: Studio, rate: RateControlConfig, line: LineConfig, back: LineConfig) -> None:
        config = replace(call_sender_config(CropMode.FULL), closed_loop_interval_frames=None)
        self.studio = studio
        self.sender = Sender(studio.model, studio.codec, config)
        self.receiver = Receiver(studio.model, studio.codec)
        self.controller = RateController(rate)
        self.key_sender = KeySender(KeySenderConfig(), 0.0)
        self.key_receiver = KeyReceiver()
        self.motion_delay = MotionDelay()
        self.pace = FeedbackPace(duplex=False)
        self.lines = {True: EmulatedLine(line), False: EmulatedLine(back)}
        for one in self.lines.values():
            one.call_began()
        self.flying: list[_Arrival] = []
        self.controls: list[tuple[float, str, tuple[int, int]]] = []
        self.result = VirtualResult()
        self.coding: list[tuple[float, int, float]] = []  # ready, picture, capture
        self.gathered: list[float] = []
        self.number = 0
        self.captured = 0
        self.total_bytes = 0
        self.acknowledge = 0
        self.coded_s = -1.0
        self.motion_s = -1.0
        self.first_reference: tuple[float, int] | None = None
        self.pictures_under_way = 0
        self.next_wire = 0.0
        self.asked_s = -10.0
        self.began_s = 0.0

    def run(self, seconds: float, line: LineConfig) -> VirtualResult:
        way_s = line.delay_ms / 1000
        ping_s = 2 * way_s + sum(
            size * 8 / (config.rate_kbps * 1000)
            for size, config in zip(_PING_BYTES, (line, self.lines[False].config), strict=True)
            if config.rate_kbps
        )
        self.began_s = (ping_s - 2 * way_s) / 2  # the pong comes behind the word that video may, on a slow line
        self.controller.on_round_trip(ping_s, 0.0)
        self.key_sender.round_trip(ping_s)
        for step in range(round(seconds / _STEP_S)):
            now = step * _STEP_S
            while self.flying and self.flying[0].time <= now:
                self._arrive(heapq.heappop(self.flying))
            for entry in [one for one in self.controls if one[0] <= now]:
                self.controls.remove(entry)
                self._control(entry[1], entry[2], now)
            if now >= self.next_wire:
                self.next_wire += 0.5
                self.controller.on_wire(self.total_bytes, now)
            self._sender_turn(now)
            self._receiver_turn(now, way_s)
        if line.outage_s:
            assert self.first_reference is not None
            start = self.first_reference[0] + line.outage_at_s
            self.result.outage = Outage(start, start + line.outage_s)
        self.result.statistics = self.receiver.statistics
        self.result.figures = self.controller.figures(seconds)
        return self.result

    def _sender_turn(self, now: float) -> None:
        messages: list[tuple[str, bytes]] = []
        if now >= self.began_s + self.captured * _FRAME_S:
            swing = self.captured % (2 * _FRAMES - 2)
            picture = swing if swing < _FRAMES else 2 * _FRAMES - 2 - swing
            self.coding.append((now + _CODING_S, picture, now))
            self.captured += 1
        if self.coding and self.coding[0][0] <= now:
            _, picture, capture = self.coding.pop(0)
            messages += self._code(self.studio.pictures[picture], capture, now)
        company = bool(messages) or now - self.motion_s > _KEY_COMPANY_S
        if company:
            self.key_sender.set_rate(self.controller.key_bytes_per_s(now), now)
            chunks = self.key_sender.datagrams_to_send(now, 4)
            self.result.key_messages += chunks
            messages += [("key", data) for data in chunks]
        self._leave(messages, True, now)

    def _code(self, image: Image, capture: float, now: float) -> list[tuple[str, bytes]]:
        self.controller.on_capture(capture)
        plan = self.controller.plan(now)
        self.sender.set_plan(plan)
        self.result.plans.append(plan)
        self.pictures_under_way -= len(self.key_sender.take_results())
        self.sender.hold_anchors(self.pictures_under_way > PICTURES_UNDER_WAY)
        if capture - self.coded_s < plan.frame_interval_s:
            return []
        self.coded_s = capture
        output = self.sender.push_frame(image, capture)
        if output.coded:
            self.gathered.append(capture)
        if output.reference is not None:
            data = output.reference.pack()
            self.key_sender.offer(data)
            self.pictures_under_way += 1
            self.result.references += 1
            if self.first_reference is None:
                self.first_reference = (now, len(data))
                for line in self.lines.values():
                    line.media_began(now)
        if output.anchor is not None:
            self.key_sender.offer(output.anchor.pack())
            self.pictures_under_way += 1
            self.result.anchors += 1
        messages = []
        for message in output.messages:
            count = (message.sequence - (self.number - 1)) & 0xFF
            new, self.gathered = self.gathered[:count], self.gathered[count:]
            self.number += count
            packed = message.pack()
            self.controller.on_sent(message.sequence, count, len(packed), new[-1], now)
            self.result.sent_ms += [round(time * 1000) for time in new]
            self.result.motion_bytes += len(packed)
            self.motion_s = now
            messages.append(("motion", packed))
        return messages

    def _leave(self, messages: list[tuple[str, bytes]], forward: bool, now: float) -> None:
        """Put what leaves in one turn on the line, as many datagrams as it takes."""
        while messages:
            size = IP_UDP_BYTES + DTLS_BYTES + SCTP_HEADER_BYTES
            if forward and self.acknowledge:
                size += _ACKNOWLEDGEMENT_BYTES
                self.acknowledge = 0
            load: list[tuple[str, bytes]] = []
            while messages and (not load or size + chunk_bytes(len(messages[0][1])) <= 1200):
                size += chunk_bytes(len(messages[0][1]))
                load.append(messages.pop(0))
            if forward:
                self.total_bytes += size
                self.result.wire.append((now, size))
            for delay in self.lines[forward].delays(size, now):
                heapq.heappush(self.flying, _Arrival(now + delay, len(self.result.wire) + id(load) % 7, forward, load))

    def _arrive(self, arrival: _Arrival) -> None:
        now = arrival.time
        for kind, data in arrival.messages:
            if kind == "motion":
                self.pace.motion_arrived(now)
                self.receiver.receive_motion(data, now)
            elif kind == "feedback":
                self.acknowledge += 1
                feedback = MotionFeedback.unpack(data)
                self.sender.take_feedback(feedback)
                self.controller.on_feedback(feedback, now)
                self.key_sender.motion_delay(self.motion_delay.add(feedback, now), now)
            else:
                self._key(data, now)

    def _key(self, data: bytes, now: float) -> None:
        content = unpack_key_message(data)
        assert content is not None
        if not isinstance(content, KeyChunk):
            self.key_sender.acknowledged(content, now)
            return
        reference = self.key_receiver.receive(content, now)
        if reference is not None:
            try:
                held = self.receiver.receive_reference(reference, now)
            except BitstreamError:
                return  # it asks for one that needs nothing of before
            if held is not None:
                self.controls.append((now + 0.05, "held", (held.slot, held.generation)))

    def _control(self, kind: str, place: tuple[int, int], now: float) -> None:
        if kind == "wanted":
            self.sender.request_reference()
            return
        self.sender.acknowledge_reference(*place)
        if self.first_reference is not None and not self.gathered and not self.result.sent_ms:
            self.controller.on_first_reference(self.first_reference[1], now - self.first_reference[0], now)

    def _receiver_turn(self, now: float, way_s: float) -> None:
        messages: list[tuple[str, bytes]] = [("key", data) for data in self.key_receiver.datagrams_to_send(now)]
        if self.pace.due(now):
            feedback = self.receiver.feedback(now)
            if feedback is not None:
                self.pace.sent(now)
                self.result.feedback_sent += 1
                messages.append(("feedback", feedback.pack()))
        self._leave(messages, False, now)
        if self.receiver.wants_reference and now - self.asked_s > 1.0:
            self.asked_s = now
            self.controls.append((now + way_s, "wanted", (0, 0)))
        frame = self.receiver.render(now)
        if frame is not None:
            self.result.shown_ms.append(frame.capture_time_ms)
            self.result.shown_s.append(now)
            self.result.made_up.append(frame.interpolated)


def hold_virtual_call(
    studio: Studio,
    rate: RateControlConfig,
    seconds: float,
    *,
    line: LineConfig = _BACK,
    back: LineConfig = _BACK,
) -> VirtualResult:
    """Hold a call of `seconds`; `line` is the sender's, `back` the receiver's."""
    return _VirtualCall(studio, rate, line, back).run(seconds, line)
