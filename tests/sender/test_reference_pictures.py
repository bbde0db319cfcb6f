from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adasr_core.bitstream.av1_chain import Av1ChainDecoder, Av1ChainEncoder, EncoderStalledError
from adasr_core.bitstream.packets import PICTURE_AV1_CHAIN, PICTURE_AVIF
from adasr_core.bitstream.picture import decode_picture
from adasr_core.picture_quality import psnr_db
from sender.rate_plan import RatePlan
from sender.reference_pictures import CodedPicture, PictureCoding, PictureConfig, ReferencePictures
from tests.real_model import talking

SIDE = 512


def code(pictures: ReferencePictures, number: int, *, hurried: bool = False, rate: float = 5000.0) -> CodedPicture:
    return pictures.encode(talking(12 * number), reference_bps=rate, hurried=hurried)


def test_the_sender_sees_what_the_receiver_decodes() -> None:
    pictures = ReferencePictures(SIDE, PictureConfig())
    decoder = Av1ChainDecoder(SIDE)
    for number in range(3):
        coded = code(pictures, number)
        assert coded.codec == PICTURE_AV1_CHAIN
        assert coded.key == (number == 0)
        np.testing.assert_array_equal(decoder.decode(coded.data), coded.decode())
        assert psnr_db(coded.decode(), talking(12 * number)) > 31


def test_a_broken_chain_begins_anew() -> None:
    pictures = ReferencePictures(SIDE, PictureConfig())
    assert [code(pictures, number).data[:2] for number in range(2)] == [b"\0\0", b"\0\1"]
    pictures.break_chain()
    again = code(pictures, 2)
    assert (again.data[:2], again.key) == (b"\1\0", True)
    assert psnr_db(Av1ChainDecoder(SIDE).decode(again.data), talking(24)) > 31


def test_more_rate_buys_finer_chains() -> None:
    sizes = []
    for rate in (3000.0, 8000.0):
        pictures = ReferencePictures(SIDE, PictureConfig())
        sizes.append(sum(len(code(pictures, number, rate=rate).data) for number in range(2)))
    assert sizes == sorted(set(sizes))


def test_a_chain_keeps_its_quality_while_it_lasts() -> None:
    same, other = ReferencePictures(SIDE, PictureConfig()), ReferencePictures(SIDE, PictureConfig())
    code(same, 0)
    code(other, 0)
    assert code(same, 1).data == code(other, 1, rate=15_000.0).data


@pytest.mark.parametrize(("rate", "finer"), [(100_000.0, True), (3000.0, False)])
def test_a_chain_gives_way_to_one_that_the_rate_pays_for(rate: float, finer: bool) -> None:
    config = PictureConfig(crf_steps=((0.0, 50),), crf_range=(32, 62))
    pictures, same = ReferencePictures(SIDE, config), ReferencePictures(SIDE, config)
    for number in range(4):
        assert code(pictures, number, rate=10_500.0).data == code(same, number, rate=10_500.0).data
    coded = [code(pictures, number, rate=rate).data for number in range(4, 7)]
    kept = [code(same, number, rate=10_500.0).data for number in range(4, 7)]
    assert {data[0] for data in kept} == {0}
    assert {data[0] for data in coded} == {1}
    sizes, sizes_kept = (sum(map(len, some[1:])) for some in (coded, kept))
    assert sizes > 1.2 * sizes_kept if finer else sizes < 0.9 * sizes_kept


def test_a_chain_stays_where_a_new_one_would_use_up_the_rate_for_long() -> None:
    pictures = ReferencePictures(SIDE, PictureConfig(crf_steps=((0.0, 50),), crf_range=(32, 62)))
    assert {code(pictures, number, rate=1000.0).data[0] for number in range(7)} == {0}


@pytest.mark.parametrize(("rate", "chains"), [(9_000.0, 2), (7_000.0, 1)])
def test_a_first_picture_made_with_care_does_not_bind_a_fast_line(rate: float, chains: int) -> None:
    """Until the line is known its chain is coarse; on one that turns out slow it stays, a key unit takes seconds."""
    pictures = ReferencePictures(SIDE, PictureConfig())
    pictures.set_plan(RatePlan(anchor_frames=24, reference_bps=2_000.0))
    began = [code(pictures, 0, rate=2_000.0)]
    pictures.set_plan(RatePlan(anchor_frames=4, reference_bps=rate))
    began += [pictures.encode_anchor(talking(3 * number)) for number in range(1, 20)]
    assert len({coded.data[0] for coded in began}) == chains


def test_stills_are_avif_small_for_those_who_wait() -> None:
    pictures = ReferencePictures(SIDE, PictureConfig(coding=PictureCoding.STILLS))
    hurried, later = code(pictures, 0, hurried=True), code(pictures, 0)
    assert hurried.codec == later.codec == PICTURE_AVIF
    assert len(hurried.data) < 0.9 * len(later.data)
    np.testing.assert_array_equal(later.decode(), decode_picture(later.data, SIDE))


def test_both_begins_the_chain_after_a_still() -> None:
    pictures = ReferencePictures(SIDE, PictureConfig(coding=PictureCoding.BOTH))
    kinds = [(code(pictures, 0, hurried=True)), code(pictures, 1), code(pictures, 2), code(pictures, 3, hurried=True)]
    assert [coded.codec for coded in kinds] == [PICTURE_AVIF, PICTURE_AV1_CHAIN, PICTURE_AV1_CHAIN, PICTURE_AVIF]
    assert [coded.key for coded in kinds] == [True, True, False, True]


@pytest.mark.parametrize(
    "bad",
    [
        {"still_quality": 0},
        {"first_still_quality": 101},
        {"crf_steps": ()},
        {"crf_steps": ((1.0, 50),)},
        {"crf_steps": ((0.0, 50), (0.0, 40))},
        {"crf_steps": ((0.0, 71),)},
        {"crf_range": (50, 40)},
        {"crf_range": (0, 40)},
        {"unit_interval_s": 0.0},
        {"preset": 2},
    ],
)
def test_a_wrong_setting_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        PictureConfig(**bad)


def test_an_encoder_that_hangs_gives_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = ReferencePictures(SIDE, PictureConfig())
    assert code(pictures, 0).data[:2] == b"\0\0"
    real = Av1ChainEncoder.encode

    def stalls_once(encoder: Av1ChainEncoder, rgb: Any) -> bytes:
        if encoder.chain == 0:
            raise EncoderStalledError("SVT-AV1 gave no answer; begin a new chain")
        return real(encoder, rgb)

    monkeypatch.setattr(Av1ChainEncoder, "encode", stalls_once)
    again = code(pictures, 1)
    assert (again.data[:2], again.key) == (b"\1\0", True)
    assert psnr_db(Av1ChainDecoder(SIDE).decode(again.data), talking(12)) > 31
