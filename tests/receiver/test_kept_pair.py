"""Two calls between a sender and a receiver that keep pictures: the second begins with one of the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from adasr_core.bitstream import PICTURE_KEPT, AnchorPacket, BitstreamError, ReferencePacket
from adasr_core.bitstream.kept_picture import kept_marks, kept_name
from adasr_core.bundle import open_bundle
from adasr_core.geometry import MotionParameters
from call.kept_folder import KeptFolder
from receiver import Receiver, RenderedFrame
from receiver.kept_pictures import KeptPictures
from sender import CropMode, RatePlan, ReferencePolicyConfig, ReferenceReason, Sender, SenderConfig, TrackerConfig
from sender.kept_references import KeptLook, KeptReferences
from sender.look import Look
from tests.real_model import Image, edge_codec, edge_model, talking

FRAME_S = 0.04
SALT = b"saltsalt"
ANCHORED = RatePlan(frames_per_message=2, anchor_frames=4, anchor_crf=52.0, reference_bps=1e6)
PLAIN = RatePlan(reference_bps=20_000.0)


@dataclass
class Call:
    """A call over a perfect line. asked: capture times of frames before which the receiver asked for a reference."""

    sender: Sender
    receiver: Receiver
    references: list[tuple[ReferenceReason, ReferencePacket]] = field(default_factory=list)
    anchors: list[AnchorPacket] = field(default_factory=list)
    shown: list[RenderedFrame] = field(default_factory=list)
    sources: dict[int, Image] = field(default_factory=dict)
    refused: int = 0

    def run(self, first: int, frames: int, picture: Callable[[int], Image] = talking) -> Call:
        for number in range(frames):
            now = number * FRAME_S
            output = self.sender.push_frame(picture(first + number), now)
            assert output.picture is not None
            self.sources[round(now * 1000)] = output.picture
            if output.anchor is not None:
                self.anchors.append(output.anchor)
                self.receiver.receive_reference(output.anchor.pack(), now)
            for message in output.messages:
                self.receiver.receive_motion(message.pack(), now)
            if output.reference is not None:
                assert output.reason is not None
                self.references.append((output.reason, output.reference))
                self._deliver(output.reference, now)
            feedback = self.receiver.feedback(now)
            if feedback is not None:
                self.sender.take_feedback(feedback)
            while (frame := self.receiver.render(now)) is not None:
                self.shown.append(frame)
        return self

    def _deliver(self, packet: ReferencePacket, now: float) -> None:
        try:
            answer = self.receiver.receive_reference(packet.pack(), now)
        except BitstreamError:
            self.refused += 1
            if self.receiver.wants_reference:
                self.sender.request_reference()
            return
        assert answer is not None
        assert self.sender.acknowledge_reference(answer.slot, answer.generation)


def make(
    plan: RatePlan, sender: KeptReferences | None, receiver: KeptPictures | None, interval: int | None = None
) -> Call:
    config = SenderConfig(tracker=TrackerConfig(mode=CropMode.FULL), closed_loop_interval_frames=interval, plan=plan)
    return Call(
        Sender(edge_model(), edge_codec(), config, sender), Receiver(edge_model(), edge_codec(), None, receiver)
    )


@dataclass
class Home:
    """What each end keeps on disk, and the halves of one call with it."""

    sent: KeptFolder
    received: KeptFolder

    @classmethod
    def at(cls, folder: Path) -> Home:
        bundle = open_bundle("edge")
        return cls(KeptFolder(folder / "sent", bundle), KeptFolder(folder / "received", bundle))

    def hold(
        self,
        plan: RatePlan,
        first: int,
        frames: int,
        picture: Callable[[int], Image] = talking,
        *,
        interval: int | None = None,
    ) -> Call:
        looks = [KeptLook.of(kept) for name in self.sent.names() if (kept := self.sent.load(name)) is not None]
        ours = KeptReferences(codec_id(), looks, self.sent.use)
        ours.take_marks(SALT, kept_marks(SALT, self.received.names()))
        theirs = KeptPictures(codec_id(), self.received.use)
        call = make(plan, ours, theirs, interval).run(first, frames, picture)
        self.sent.keep(ours.pictures)
        self.received.keep(theirs.pictures)
        return call


@cache
def codec_id() -> str:
    return open_bundle("edge").codec_id


def test_a_second_call_begins_with_a_picture_of_the_first(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    first = home.hold(ANCHORED, 0, 12)
    ((reason, whole),) = first.references
    assert reason is ReferenceReason.FIRST
    assert whole.picture_codec != PICTURE_KEPT
    assert set(home.sent.names()) == set(home.received.names()), "both ends keep the same without a word"

    second = home.hold(ANCHORED, 1, 14)
    ((reason, named),) = second.references
    assert (reason, named.picture_codec) == (ReferenceReason.FIRST, PICTURE_KEPT)
    assert len(named.pack()) < 260
    assert len(whole.pack()) > 4 * len(named.pack())
    ours, theirs = home.sent.load(named.picture), home.received.load(named.picture)
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours.picture, theirs.picture)
    assert kept_name(theirs.picture, codec_id()) == named.picture

    assert [anchor.picture[1] for anchor in second.anchors][:2] == [0, 1], "a chain begins with an anchor"
    assert second.receiver.statistics.malformed == 0
    own = [frame for frame in second.shown if not frame.interpolated]
    assert len(own) >= 8
    quality = [psnr_db(frame.picture, second.sources[frame.capture_time_ms]) for frame in own]
    assert min(quality) > 21, "the first ones from the kept picture, then from anchors"
    assert np.mean(quality[-4:]) > quality[0], "pictures of this call are better than one of an earlier call"


def psnr_db(a: Image, b: Image) -> float:
    error = float(np.square(a.astype(np.float64) - b).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def test_without_anchors_the_first_picture_of_the_call_follows(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 3)
    second = home.hold(PLAIN, 5, 12)
    (first, named), (then, unit) = second.references[:2]
    assert (first, named.picture_codec) == (ReferenceReason.FIRST, PICTURE_KEPT)
    assert then is ReferenceReason.QUALITY
    assert unit.picture[1] == 0, "the key unit of a chain"
    assert unit.base == (named.slot, named.generation), "its parameters are coded against the kept one's"
    assert second.refused == 0


def damage(folder: Path) -> int:
    paths = list(folder.glob("*.png"))
    for path in paths:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    return len(paths)


def test_a_receiver_whose_pictures_are_damaged_asks_and_is_sent_one(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 3)
    assert damage(tmp_path / "received") == 1
    second = home.hold(PLAIN, 0, 8)
    assert second.refused == 1
    assert [reason for reason, _ in second.references] == [ReferenceReason.FIRST, ReferenceReason.REQUESTED]
    named, whole = (packet for _, packet in second.references)
    assert (named.picture_codec, whole.picture_codec != PICTURE_KEPT) == (PICTURE_KEPT, True)
    assert second.shown
    names = {path.stem.partition("-")[2] for path in (tmp_path / "received").glob("*.png")}
    assert home.received.load(bytes.fromhex(names.pop())) is not None, "the damaged one is gone, a sound one is kept"
    assert not names


def test_a_sender_whose_pictures_are_damaged_sends_one_at_once(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 3)
    (path,) = (tmp_path / "sent").glob("*.png")
    looks = [KeptLook.of(kept) for name in home.sent.names() if (kept := home.sent.load(name)) is not None]
    damage(tmp_path / "sent")
    ours = KeptReferences(codec_id(), looks, home.sent.use)
    ours.take_marks(SALT, kept_marks(SALT, home.received.names()))
    call = make(PLAIN, ours, KeptPictures(codec_id(), home.received.use)).run(0, 2)
    ((reason, packet),) = call.references
    assert (reason, packet.picture_codec != PICTURE_KEPT) == (ReferenceReason.FIRST, True)
    assert not path.exists()
    assert call.refused == 0


def test_a_peer_that_does_not_remember_gets_the_same_bytes(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 3)
    looks = [KeptLook.of(kept) for name in home.sent.names() if (kept := home.sent.load(name)) is not None]
    keeping = make(PLAIN, KeptReferences(codec_id(), looks, home.sent.use), None).run(0, 4)
    plain = make(PLAIN, None, None).run(0, 4)
    assert [packet.pack() for _, packet in keeping.references] == [packet.pack() for _, packet in plain.references]


def test_a_receiver_that_keeps_nothing_refuses_a_name_and_asks() -> None:
    packet = ReferencePacket(
        slot=0, generation=0, time_ms=0, frame_px=512, parameters=b"", picture=bytes(16), picture_codec=PICTURE_KEPT
    )
    receiver = Receiver(edge_model(), edge_codec())
    with pytest.raises(BitstreamError, match="ask for a reference"):
        receiver.receive_reference(packet.pack(), 0.0)
    assert receiver.wants_reference
    assert receiver.statistics.references_held == 0


def test_one_key_frame_and_kept_pictures_exclude_each_other() -> None:
    config = SenderConfig(policy=ReferencePolicyConfig(single_key_frame=True))
    with pytest.raises(ValueError, match="single_key_frame"):
        Sender(edge_model(), edge_codec(), config, KeptReferences(codec_id()))


def test_names_that_nobody_keeps_are_refused_however_many(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(edge_model(), edge_codec(), None, KeptPictures(codec_id(), Home.at(tmp_path).received.use))
    packet = ReferencePacket(
        slot=0, generation=0, time_ms=0, frame_px=512, parameters=b"", picture=bytes(16), picture_codec=PICTURE_KEPT
    )
    for number in range(300):
        with pytest.raises(BitstreamError, match="not kept here"):
            receiver.receive_reference(replace(packet, picture=number.to_bytes(16, "big")).pack(), 0.0)
    assert (receiver.statistics.malformed, receiver.statistics.references_held) == (300, 0)
    assert caplog.records == [], "a peer cannot fill our logs"
    honest = make(PLAIN, None, None).run(0, 1).references[0][1]
    assert receiver.receive_reference(honest.pack(), 0.0) is not None


def other_face(number: int) -> Image:
    """Another face in another place: the same one, mirrored, in another light."""
    picture = talking(number)[:, ::-1].astype(np.float32)
    return np.ascontiguousarray((picture * np.array((0.5, 0.9, 1.0), np.float32)).round().astype(np.uint8))


@pytest.mark.parametrize("interval", [None, 25])
def test_another_face_is_not_begun_with_a_kept_picture(tmp_path: Path, interval: int | None) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 2)
    other = home.hold(PLAIN, 0, 2, other_face, interval=interval)
    ((reason, packet),) = other.references
    assert (reason, packet.picture_codec != PICTURE_KEPT) == (ReferenceReason.FIRST, True)


@pytest.mark.parametrize(("interval", "named"), [(None, False), (25, True)])
def test_where_the_guess_leaves_it_open_a_rebuild_decides(tmp_path: Path, interval: int | None, named: bool) -> None:
    home = Home.at(tmp_path)
    home.hold(PLAIN, 0, 2)
    frame = 14
    guessed = Look.of(talking(0), pose_of(0)).loss_db(Look.of(talking(frame), pose_of(frame)))
    assert 7 < guessed < 12
    call = home.hold(PLAIN, frame, 2, interval=interval)
    ((_, packet),) = call.references
    assert (packet.picture_codec == PICTURE_KEPT) == named


def pose_of(number: int) -> MotionParameters:
    side = edge_model().detector_px
    small = np.asarray(cv2.resize(talking(number), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    return edge_model().detect(small).parameters
