"""From camera frames to packets.

    push_frame: image -> tracker -> picture, keypoints -> policy: a new reference? -> best acknowledged reference
                                        |                        ^                     ^          |
    close_loop:                         +-> every n-th frame: own rebuild -> quality --+          +-> motion packet

`push_frame` returns as soon as the packets are made; the caller sends them, then calls `close_loop`, which may take as
long as a rebuild. No clock, no socket, no thread: capture times come in with the frames, packets go out as return
values.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from adasr_core.bitstream.motion import MotionCodec
from adasr_core.bitstream.packets import MAX_QUALITY, MotionPacket, ReferencePacket
from adasr_core.bitstream.picture import encode_picture
from adasr_core.engines import FaceModel
from adasr_core.geometry import MotionParameters, SquareCrop, extract_crop
from sender.closed_loop import ClosedLoop, PushedFrame, picture_quality_db
from sender.reference_policy import ReferencePolicy, ReferencePolicyConfig, ReferenceReason, Situation
from sender.sent_references import BankConfig, SentReference, SentReferences
from sender.tracker import FaceTracker, TrackedFace, TrackerConfig

Image = npt.NDArray[np.uint8]

_HURRIED = (ReferenceReason.FIRST, ReferenceReason.SCENE)
_SCENE_AFTER_S = 0.5
_SCENE_CHANGED_DB = 28.0
_CROP_MOVED_SHARE = 0.2
_QUALITY_KEPT_S = 1.0
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
    first_picture_quality: int = 30
    """AVIF quality of the first reference and of a place without a face, 1 to 100: small, to be there at once."""
    picture_quality: int = 40
    """AVIF quality of later references, 1 to 100."""
    motion_quality: int = 4
    """Quantiser of the motion parameters, 0 (finest) to 15."""
    closed_loop_interval_frames: int | None = 10
    """Every so many frames `close_loop` rebuilds one; None never does, and the sender goes by the pose alone."""
    show_scene: bool = True
    """Without a face, send stills of the place where it was, as the budget allows, rather than a frozen face."""
    assume_acknowledged: bool = False
    """References count as received when they are sent: for files."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("first_picture_quality", "picture_quality"):
            if not 1 <= getattr(self, name) <= 100:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected 1..100")
        if not 0 <= self.motion_quality <= MAX_QUALITY:
            raise ValueError(f"motion_quality: got {self.motion_quality}, expected 0..{MAX_QUALITY}")
        if self.closed_loop_interval_frames is not None and self.closed_loop_interval_frames < 1:
            raise ValueError(
                f"closed_loop_interval_frames: got {self.closed_loop_interval_frames}, expected at least 1 or None"
            )


@dataclass(frozen=True, slots=True)
class SenderOutput:
    """What one frame gave.

    reference: to be sent reliably, before `motion` where both are there; reason: why. motion: to be sent at once.
    picture: uint8 [512, 512, 3], what the packets describe; None when there is nothing to show. `close_loop` still
    reads it. crop: where it lies in the image. confidence: of the face, 0 to 1.
    """

    reference: ReferencePacket | None
    reason: ReferenceReason | None
    motion: MotionPacket | None
    face_found: bool
    confidence: float
    crop: SquareCrop | None
    picture: Image | None


@dataclass(frozen=True, slots=True)
class SenderStatistics:
    """Counts since the start. Sizes are packed packets without any transport header.

    quality_db: the latest rebuild with the reference in use; fresh_quality_db: what a fresh reference should give.
    Without a closed loop both are guesses from the pose. references_in_use: acknowledged ones that show a face.
    """

    frames: int
    frames_with_face: int
    motion_packets: int
    motion_bytes: int
    references: int
    reference_bytes: int
    references_in_use: int
    quality_db: float | None
    fresh_quality_db: float | None


class Sender:
    """Turns the frames of one video into reference and motion packets."""

    def __init__(self, model: FaceModel, codec: MotionCodec, config: SenderConfig | None = None) -> None:
        self._model = model
        self._codec = codec
        self._config = config if config is not None else SenderConfig()
        self._tracker = FaceTracker(model, self._config.tracker)
        self._policy = ReferencePolicy(self._config.policy)
        self._references = SentReferences(self._config.bank)
        self._loop = self._make_loop(model, codec)
        self._since_guess = 0
        self._quality: tuple[float, float] | None = None  # time, dB
        self._last_face: tuple[float, MotionParameters] | None = None
        self._last_scene: Image | None = None
        self._sequence = 0
        self._time: float | None = None
        self._frames = self._faces = self._motions = self._motion_bytes = 0
        self._references_sent = self._reference_bytes = 0

    @property
    def statistics(self) -> SenderStatistics:
        """Counts up to now."""
        return SenderStatistics(
            frames=self._frames,
            frames_with_face=self._faces,
            motion_packets=self._motions,
            motion_bytes=self._motion_bytes,
            references=self._references_sent,
            reference_bytes=self._reference_bytes,
            references_in_use=len(self._references.usable()),
            quality_db=None if self._quality is None else self._quality[1],
            fresh_quality_db=self._references.fresh_quality_db,
        )

    def acknowledge_reference(self, slot: int, generation: int) -> bool:
        """The receiver holds this reference. False (and no effect) when it is not one in use."""
        return self._references.acknowledge(slot, generation)

    def request_reference(self) -> None:
        """The receiver wants a new reference: it goes with the next frame.

        Once acknowledged, it replaces all older ones. Asking again while that reference is on its way changes nothing.
        """
        if self._time is not None and self._policy.request(awaiting=self._references.awaiting):
            self._references.distrust_until(self._time)

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
        self._quality = (measurement.time, measurement.quality_db)
        self._policy.measured(measurement.quality_db)
        return measurement.quality_db

    def _make_loop(self, model: FaceModel, codec: MotionCodec) -> ClosedLoop | None:
        interval = self._config.closed_loop_interval_frames
        if interval is None:
            return None
        quality = self._config.motion_quality
        return ClosedLoop(model, codec, self._references, motion_quality=quality, interval=interval)

    def _note_pushed(self, frame: PushedFrame | None) -> None:
        """Leave a frame to the closed loop. None: one without a face, or whose reference was heavy work enough."""
        if self._loop is not None:
            self._loop.push(frame)
        elif frame is not None:
            self._guess_quality(frame.driving, frame.time)

    def _push_face(self, face: TrackedFace, time: float) -> SenderOutput:
        self._faces += 1
        driving = face.detection.parameters.clamped()
        self._last_face = (time, driving)
        self._last_scene = None
        self._references.note_pose(driving, time)
        reason = self._policy.decide(
            Situation(
                time=time,
                face_found_anew=face.found_anew,
                no_reference=not self._references.usable(),
                crop_moved=not self._tracker.crop_moving and self._crop_moved(face.crop),
                quality_db=self._recent_quality_db(time),
                fresh_quality_db=self._references.fresh_quality_db,
                awaiting=self._references.awaiting,
            )
        )
        packet = None if reason is None else self._make_reference(face.picture, driving, face.crop, time, reason)
        motion = self._make_motion(self._references.choose(driving), driving, time)
        self._note_pushed(PushedFrame(face.picture, driving, time) if packet is None else None)
        return SenderOutput(
            reference=packet,
            reason=reason,
            motion=motion,
            face_found=True,
            confidence=face.confidence,
            crop=face.crop,
            picture=face.picture,
        )

    def _push_scene(self, image: Image, time: float) -> SenderOutput:
        """No face: after a moment, stills of the place where it was."""
        self._note_pushed(None)
        crop = self._tracker.crop
        packet, reason, motion, picture = None, None, None, None
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
                packet = self._make_reference(picture, parameters, crop, time, reason, scene=True)
                self._last_scene = picture
            scene = self._references.choose_scene()
            if scene is not None:
                motion = self._make_motion(scene, scene.parameters, time)
        return SenderOutput(
            reference=packet,
            reason=reason,
            motion=motion,
            face_found=False,
            confidence=0.0,
            crop=crop,
            picture=picture,
        )

    def _make_reference(
        self,
        picture: Image,
        parameters: MotionParameters,
        crop: SquareCrop,
        time: float,
        reason: ReferenceReason,
        *,
        scene: bool = False,
    ) -> ReferencePacket:
        hurried = reason in _HURRIED and not self._config.assume_acknowledged
        quality = self._config.first_picture_quality if hurried else self._config.picture_quality
        coded = encode_picture(picture, quality)
        coded_parameters = self._codec.encode_reference(parameters)
        slot, generation = self._references.place()
        packet = ReferencePacket(
            slot=slot,
            generation=generation,
            time_ms=_time_ms(time),
            frame_px=self._model.frame_px,
            parameters=coded_parameters,
            picture=coded,
        )
        keep = self._config.closed_loop_interval_frames is not None and not scene
        self._references.add(
            SentReference(
                slot=slot,
                generation=generation,
                parameters=self._codec.decode_reference(coded_parameters),
                crop=crop,
                sent_time=time,
                scene=scene,
                coded=coded if keep else None,
            )
        )
        if self._config.assume_acknowledged:
            self._references.acknowledge(slot, generation)
        size_bytes = len(packet.pack())
        self._policy.sent(size_bytes, time, reason)
        self._quality = None
        self._references_sent += 1
        self._reference_bytes += size_bytes
        return packet

    def _make_motion(
        self, reference: SentReference | None, driving: MotionParameters, time: float
    ) -> MotionPacket | None:
        if reference is None:
            return None
        quality = self._config.motion_quality
        packet = MotionPacket(
            slot=reference.slot,
            generation=reference.generation,
            sequence=self._sequence,
            time_ms=_time_ms(time),
            quality=quality,
            body=self._codec.encode(driving, reference.parameters, quality),
        )
        self._sequence = (self._sequence + 1) & 0xFF
        self._motions += 1
        self._motion_bytes += len(packet.pack())
        return packet

    def _guess_quality(self, driving: MotionParameters, time: float) -> None:
        """Without a closed loop: what the pose lets expect stands for a measurement."""
        current = self._references.current
        self._since_guess += 1
        if current is not None and self._since_guess >= _GUESS_INTERVAL_FRAMES:
            self._since_guess = 0
            guess_db = self._references.guess_db(current, driving)
            self._references.measured(current, driving, guess_db)
            self._quality = (time, guess_db)
            self._policy.measured(guess_db)

    def _recent_quality_db(self, time: float) -> float | None:
        if self._quality is None or time - self._quality[0] > _QUALITY_KEPT_S:
            return None
        return self._quality[1]

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


def _time_ms(time: float) -> int:
    return round(time * 1000) & 0xFFFF
