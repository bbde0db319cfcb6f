"""The bank with chains of references, as a real sender makes them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from adasr_core.bitstream import BitstreamError, ReferencePacket
from adasr_core.picture_quality import psnr_db
from receiver.bank import ReferenceBank, Standing
from sender import CropMode, PictureCoding, PictureConfig, RatePlan, Sender, SenderConfig, TrackerConfig
from tests.real_model import Image, edge_codec, edge_model, talking

RATE = 25.0


@cache
def sent() -> tuple[tuple[int, ReferencePacket], ...]:
    """Frame number and packet of four references of one chain."""
    config = SenderConfig(
        tracker=TrackerConfig(mode=CropMode.FULL),
        closed_loop_interval_frames=None,
        assume_acknowledged=True,
        plan=RatePlan(reference_bps=100_000),
    )
    sender = Sender(edge_model(), edge_codec(), config)
    packets = []
    for frame in range(100):
        reference = sender.push_frame(talking(frame), frame / RATE).reference
        if reference is not None:
            packets.append((frame, reference))
        if len(packets) == 4:
            return tuple(packets)
    raise AssertionError(f"got {len(packets)} references, expected 4")


def make() -> ReferenceBank:
    return ReferenceBank(edge_model(), edge_codec())


def test_a_chain_of_references_is_held_as_it_looks() -> None:
    bank = make()
    for frame, packet in sent():
        held = bank.insert(ReferencePacket.unpack(packet.pack()))
        assert psnr_db(held.picture, talking(frame)) > 31
        assert bank.standing(packet.slot, packet.generation) is Standing.HELD
    assert len(bank) == 4
    poses = [bank.find(packet.slot, packet.generation) for _, packet in sent()]
    assert all(pose is not None for pose in poses)
    own = [edge_model().detect(shrink(frame)).parameters for frame, _ in sent()]
    errors = [held.parameters.distance(pose) for held, pose in zip(poses, own, strict=True) if held is not None]
    assert max(errors) < 0.02, "parameters coded against another reference are its own all the same"


def shrink(frame: int) -> Image:
    side = edge_model().detector_px
    return np.asarray(cv2.resize(talking(frame), (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def test_a_repeated_packet_changes_nothing_and_the_chain_goes_on() -> None:
    bank = make()
    packets = [packet for _, packet in sent()]
    first = bank.insert(packets[0])
    assert bank.insert(packets[0]) is first
    second = bank.insert(packets[1])
    assert bank.insert(packets[1]) is second
    bank.insert(packets[2])


def test_a_missing_unit_is_an_error_and_a_new_chain_mends_it() -> None:
    bank = make()
    packets = [packet for _, packet in sent()]
    bank.insert(packets[0])
    with pytest.raises(BitstreamError, match="order"):
        bank.insert(replace(packets[2], base=None, parameters=packets[0].parameters))
    assert len(bank) == 1
    bank.insert(packets[1])
    assert len(bank) == 2


def test_parameters_against_a_reference_that_is_not_held_are_refused() -> None:
    packets = [packet for _, packet in sent()]
    assert packets[1].base is not None
    bank = make()
    bank.insert(packets[0])
    with pytest.raises(BitstreamError, match="base"):
        bank.insert(replace(packets[1], base=(9, 3)))
    bank.insert(packets[1])
    with pytest.raises(BitstreamError, match="base"):
        make().insert(packets[1])


def test_stills_and_chains_share_a_bank() -> None:
    config = SenderConfig(
        tracker=TrackerConfig(mode=CropMode.FULL),
        closed_loop_interval_frames=None,
        assume_acknowledged=True,
        pictures=PictureConfig(coding=PictureCoding.BOTH),
        plan=RatePlan(reference_bps=100_000),
    )
    sender = Sender(edge_model(), edge_codec(), config)
    bank = make()
    kinds = set()
    for frame in range(60):
        reference = sender.push_frame(talking(frame), frame / RATE).reference
        if reference is not None:
            kinds.add(reference.picture_codec)
            assert psnr_db(bank.insert(reference).picture, talking(frame)) > 31
    assert kinds == {1, 2}
