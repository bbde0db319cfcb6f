"""From camera frames to packets.

    push_frame: image -> tracker -> picture, keypoints -> policy: a new reference? -> best acknowledged reference
                                        |                        ^                     ^          |
    close_loop:                         +-> every n-th frame: own rebuild -> quality --+          +-> motion stream

`push_frame` returns as soon as the packets are made; the caller sends them, then calls `close_loop`, which may take as
long as a rebuild. No clock, no socket, no thread: capture times come in with the frames, packets go out as return
values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.anchor import AnchorPacket
from adasr_core.bitstream.feedback import MotionFeedback
from adasr_core.bitstream.kept_picture import KeptPicture
from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.motion_message import MotionMessage
from adasr_core.bitstream.packets import PICTURE_KEPT, ReferencePacket
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from sender.anchor_pace import AnchorPace
from sender.closed_loop import ClosedLoop, PushedFrame, picture_quality_db
from sender.kept_references import KeptReferences
from sender.look import Look
from sender.motion_stream import MotionReference, MotionStream
from sender.rate_plan import RatePlan
from sender.reference_maker import ReferenceMaker
from sender.reference_pictures import PictureConfig
from sender.reference_policy import ReferencePolicy, ReferencePolicyConfig, ReferenceReason, Situation
from sender.sender_output import SenderOutput, SenderStatistics
from sender.sent_references import BankConfig, SentReference, SentReferences
from sender.tracker import FaceTracker, TrackedFace, TrackerConfig

Image = npt.NDArray[np.uint8]

_SCENE_AFTER_S = 0.5
_SCENE_CHANGED_DB = 28.0
_CROP_MOVED_SHARE = 0.2
_GUESS_INTERVAL_FRAMES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class SenderConfig:
    """How frames become packets."""

    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    """How the face is followed."""
    policy: ReferencePolicyConfig = field(default_factory=ReferencePolicyConfig)
    """When references are sent."""
    bank: BankConfig = field(default_factory=BankConfig)
    """How many references are in use, and how one is chosen."""
    pictures: PictureConfig = field(default_factory=PictureConfig)
    """How reference pictures are coded."""
    plan: RatePlan = field(default_factory=RatePlan)
    """What goes out until `Sender.set_plan` says otherwise."""
    closed_loop_interval_frames: int | None = 10
    """Every so many frames `close_loop` rebuilds one; None never does, and the sender goes by the pose alone."""
    show_scene: bool = True
    """Without a face, send stills of the place where it was, as the budget allows, rather than a frozen face."""
    assume_acknowledged: bool = False
    """References and motion count as received when they are sent: for files and measurements."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        if self.closed_loop_interval_frames is not None and self.closed_loop_interval_frames < 1:
            raise ValueError(
                f"closed_loop_interval_frames: got {self.closed_loop_interval_frames}, expected at least 1 or None"
            )


class Sender:
    """Turns the frames of one video into reference and motion packets."""

    def __init__(
        self,
        model: FaceModel,
        codec: MotionCodec,
        config: SenderConfig | None = None,
        kept: KeptReferences | None = None,
    ) -> None:
        """Begin with nothing sent. kept: pictures of earlier calls; None: nothing is kept from call to call.

        Raises:
            ValueError: kept pictures with one key frame only.
        """
        self._kept = kept
        self._model = model
        self._codec = codec
        self._config = config if config is not None else SenderConfig()
        if kept is not None and self._config.policy.single_key_frame:
            raise ValueError("kept: with single_key_frame nothing better follows a kept picture; leave one of them out")
        self._tracker = FaceTracker(model, self._config.tracker)
        plan = self._config.plan
        pictures = self._config.pictures
        self._policy = ReferencePolicy(self._config.policy, plan.reference_bps, pictures.expected_bytes)
        self._references = SentReferences(self._config.bank)
        self._maker = ReferenceMaker(codec, self._references, model.frame_px, pictures, kept)
        self._maker.set_plan(plan)
        self._pace = AnchorPace(plan)
        self._hold_anchors = False
        self._stream = MotionStream(codec, plan, assume_decoded=self._config.assume_acknowledged)
        self._loop = self._make_loop(model, codec)
        self._since_guess = 0
        self._quality_db: float | None = None
        self._last_face: tuple[float, MotionParameters] | None = None
        self._last_scene: Image | None = None
        self._time: float | None = None
        self._frames = self._faces = 0
        self._references_sent = self._reference_bytes = 0
        self._anchors_sent = self._anchor_bytes = 0

    @property
    def statistics(self) -> SenderStatistics:
        """Counts up to now."""
        return SenderStatistics(
            frames=self._frames,
            frames_with_face=self._faces,
            motion_frames=self._stream.frames,
            motion_messages=self._stream.messages,
            motion_bytes=self._stream.message_bytes,
            references=self._references_sent,
            reference_bytes=self._reference_bytes,
            anchors=self._anchors_sent,
            anchor_bytes=self._anchor_bytes,
            references_in_use=len(self._references.usable()),
            quality_db=self._quality_db,
            fresh_quality_db=self._references.fresh_quality_db,
        )

    def acknowledge_reference(self, slot: int, generation: int) -> bool:
        """The receiver holds this reference. False (and no effect) when it is not one in use."""
        known = self._references.acknowledge(slot, generation)
        if known:
            self._maker.acknowledged(slot, generation)
        return known

    def take_kept_marks(self, salt: bytes, marks: bytes) -> None:
        """The receiver keeps pictures of earlier calls, see `adasr_core.bitstream.kept_picture`."""
        if self._kept is not None:
            self._kept.take_marks(salt, marks)

    def request_reference(self) -> None:
        """The receiver wants a new reference: it goes with the next frame, coded against nothing.

        Once acknowledged, it replaces all older ones. Asking again while that reference is on its way changes nothing.
        A kept picture that is on its way by its name is none that the receiver has: it is not named again.
        """
        awaiting = self._references.awaiting and not self._maker.refuse_kept()
        if self._time is not None and self._policy.request(awaiting=awaiting):
            self._references.distrust_until(self._time)
            self._stream.forget_bases()

    def set_plan(self, plan: RatePlan) -> None:
        """What goes out from the next frame on. `plan.frame_interval_s` is the caller's: it leaves frames out."""
        self._policy.set_rate(plan.reference_bps, self._time)
        self._pace.set_plan(plan, self._time)
        self._maker.set_plan(plan)
        self._stream.set_plan(plan)
        if self._loop is not None:
            self._loop.set_motion_quality(plan.motion_quality)

    def take_feedback(self, feedback: MotionFeedback) -> None:
        """The receiver decoded these frames: later ones are coded against the newest of them."""
        self._stream.take_feedback(feedback)

    def hold_anchors(self, hold: bool) -> None:
        """Whether anchors wait: those before them are still on their way. Without a chain of them nothing decodes."""
        self._hold_anchors = hold

    def flush_motion(self) -> tuple[MotionMessage, ...]:
        """A message of the frames gathered so far, at once; none when there are none."""
        return self._stream.flush()

    def push_frame(self, image: Image, capture_time: float) -> SenderOutput:
        """Make the packets of one frame. Send them, then call `close_loop`.

        image: uint8 [H, W, 3] RGB, any size. capture_time: seconds on a clock that does not run backward.

        Raises:
            ValueError: an image of another form, or a time before that of the last frame.
        """
        if not np.isfinite(capture_time) or (self._time is not None and capture_time < self._time):
            raise ValueError(f"capture_time: got {capture_time}, expected a time not before {self._time}")
        face = self._tracker.locate(image, capture_time)
        self._time = capture_time
        self._frames += 1
        if face is None:
            return self._push_scene(image, capture_time)
        return self._push_face(face, capture_time)

    def close_loop(self) -> float | None:
        """Do what the closed loop has to do for the frame last pushed: nothing, or one rebuild's worth of work.

        It sharpens the choice of references and tells the policy when a new one is due. Once a frame: a second call
        does nothing. A caller in a hurry may leave it out; what is due waits for the next frame's call.

        Returns:
            Quality of the sender's own rebuild of that frame, dB (see `closed_loop.picture_quality_db`), when it made
            one with the reference in use; else None.
        """
        measurement = None if self._loop is None else self._loop.step()
        if measurement is None or not measurement.of_current:
            return None
        self._quality_db = measurement.quality_db
        return measurement.quality_db

    def _make_loop(self, model: FaceModel, codec: MotionCodec) -> ClosedLoop | None:
        interval = self._config.closed_loop_interval_frames
        if interval is None:
            return None
        quality = self._config.plan.motion_quality
        return ClosedLoop(model, codec, self._references, motion_quality=quality, interval=interval)

    def _note_pushed(self, frame: PushedFrame | None) -> None:
        """Leave a frame to the closed loop. None: one without a face, or whose reference was heavy work enough."""
        if self._loop is not None:
            self._loop.push(frame)
        elif frame is not None:
            self._guess_quality(frame.look)

    def _push_face(self, face: TrackedFace, time: float) -> SenderOutput:
        self._faces += 1
        driving = face.detection.parameters.clamped()
        look = Look.of(face.picture, driving)
        self._last_face = (time, driving)
        self._last_scene = None
        self._references.note_look(look, time)
        anchored = self._pace.on
        reason = self._policy.decide(
            Situation(
                time=time,
                face_found_anew=face.found_anew,
                no_reference=not self._references.usable(),
                crop_moved=not anchored and not self._tracker.crop_moving and self._crop_moved(face.crop),
                gain_db=None if anchored else self._references.gain_db(look),
                awaiting=self._references.awaiting,
            )
        )
        packet = None if reason is None else self._make_reference(face.picture, look, face.crop, time, reason)
        reference = self._references.choose(look)
        messages = self._code_motion(reference, time, driving)
        anchor = self._make_anchor(face.picture, driving, time) if packet is None and messages else None
        self._note_pushed(PushedFrame(face.picture, look, time) if packet is None and not anchored else None)
        return SenderOutput(
            reference=packet,
            reason=reason,
            anchor=anchor,
            messages=messages,
            coded=reference is not None,
            face_found=True,
            confidence=face.confidence,
            crop=face.crop,
            picture=face.picture,
        )

    def _push_scene(self, image: Image, time: float) -> SenderOutput:
        """No face: after a moment, stills of the place where it was."""
        self._note_pushed(None)
        crop = self._tracker.crop
        packet, reason, picture, shown_scene = None, None, None, None
        lost = self._last_face is not None and time - self._last_face[0] >= _SCENE_AFTER_S
        if self._config.show_scene and lost and crop is not None and self._last_face is not None:
            parameters = self._last_face[1]
            picture = extract_crop(image, crop, self._model.frame_px)
            shown = self._last_scene
            reason = self._policy.decide(
                Situation(
                    time=time,
                    face_gone=shown is None,
                    scene_changed=shown is not None
                    and picture_quality_db(shown, picture, parameters) < _SCENE_CHANGED_DB,
                    awaiting=self._references.awaiting,
                )
            )
            if reason is not None:
                packet = self._make_reference(picture, Look.of(picture, parameters), crop, time, reason, scene=True)
                self._last_scene = picture
            shown_scene = self._references.choose_scene()
        return SenderOutput(
            reference=packet,
            reason=reason,
            anchor=None,
            messages=self._code_motion(shown_scene, time),
            coded=shown_scene is not None,
            face_found=False,
            confidence=0.0,
            crop=crop,
            picture=picture,
        )

    def _make_reference(
        self,
        picture: Image,
        look: Look,
        crop: SquareCrop,
        time: float,
        reason: ReferenceReason,
        *,
        scene: bool = False,
    ) -> ReferencePacket:
        packet = self._maker.make(
            picture,
            look,
            crop,
            time,
            reference_bps=self._policy.rate_bps,
            reason=reason,
            scene=scene,
            keep_picture=self._loop is not None and not scene,
            measure=None if self._loop is None else lambda kept, its: self._measure_kept(kept, its, picture, look),
        )
        if self._config.assume_acknowledged:
            self.acknowledge_reference(packet.slot, packet.generation)
        named = packet.picture_codec == PICTURE_KEPT
        if named:
            self._pace.hurry()
        else:
            self._pace.sent_reference()
        size_bytes = len(packet.pack())
        self._policy.sent(size_bytes, time, reason, named=named)
        self._references_sent += 1
        self._reference_bytes += size_bytes
        return packet

    def _measure_kept(self, kept: KeptPicture, its: Look, picture: Image, look: Look) -> float:
        """Quality of a rebuild of this frame from a kept picture that looks like `its`, dB."""
        received = self._codec.quantise(look.parameters, its.parameters, self._config.plan.motion_quality)
        rebuilt = self._model.rebuild(self._model.encode(kept.picture), its.parameters, received)
        return picture_quality_db(rebuilt, picture, look.parameters)

    def _make_anchor(self, picture: Image, driving: MotionParameters, time: float) -> AnchorPacket | None:
        """The picture of the newest frame of a message that is ready, when one is due."""
        if self._stream.gathered or self._hold_anchors or not self._pace.due(time):
            return None
        packet, coded = self._maker.make_anchor(picture, driving, time)
        size_bytes = len(packet.pack())
        self._pace.sent_anchor(size_bytes, time)
        self._anchors_sent += 1
        self._anchor_bytes += size_bytes
        self._quality_db = picture_quality_db(coded.decode(), picture, driving)
        return packet

    def _code_motion(
        self, reference: SentReference | None, time: float, driving: MotionParameters | None = None
    ) -> tuple[MotionMessage, ...]:
        """Messages that are ready with this frame; `driving` None shows the reference itself.

        Without a reference what was gathered before goes out.
        """
        if reference is None:
            return self._stream.flush()
        driving = reference.parameters if driving is None else driving
        against = MotionReference(reference.slot, reference.generation, reference.parameters)
        self._pace.count_frame()
        return self._stream.push(against, driving, round(time * 1000))

    def _guess_quality(self, look: Look) -> None:
        """Without a closed loop: what the look lets expect stands for a measurement."""
        current = self._references.current
        self._since_guess += 1
        if current is not None and self._since_guess >= _GUESS_INTERVAL_FRAMES:
            self._since_guess = 0
            self._quality_db = self._references.guess_db(current, look)

    def _crop_moved(self, crop: SquareCrop) -> bool:
        """Whether no reference in use shows about the same part of the image."""
        usable = self._references.usable()
        return bool(usable) and all(_crop_change(reference.crop, crop) > _CROP_MOVED_SHARE for reference in usable)


def _crop_change(old: SquareCrop, new: SquareCrop) -> float:
    """How far two crops differ, in shares of the side."""
    return max(
        abs(old.centre_x_px - new.centre_x_px) / old.size_px,
        abs(old.centre_y_px - new.centre_y_px) / old.size_px,
        abs(new.size_px / old.size_px - 1),
    )
