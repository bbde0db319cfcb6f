import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.packets import MAX_REFERENCE_PACKET_BYTES
from call.key_chunks import CHUNK_BYTES, MAX_TRANSFER_BYTES, ChunkAssembler, Pacer, split_chunks


@pytest.mark.parametrize("size", [1, 1093, 1094, 1095, 2188, 40_000, MAX_TRANSFER_BYTES])
def test_round_trip(size: int) -> None:
    data = random.Random(size).randbytes(size)
    chunks = split_chunks(data, 65_537)
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assembler = ChunkAssembler()
    results = [assembler.receive(chunk) for chunk in chunks]
    assert results[-1] == data
    assert all(result is None for result in results[:-1])


def test_the_longest_reference_fits() -> None:
    assert MAX_REFERENCE_PACKET_BYTES <= MAX_TRANSFER_BYTES


def test_pinned_chunk() -> None:
    assert split_chunks(b"abc", 0x10203) == [bytes.fromhex("020300000001616263")]


@pytest.mark.parametrize("size", [0, MAX_TRANSFER_BYTES + 1])
def test_a_wrong_size_is_the_callers_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        split_chunks(bytes(size), 0)


def test_a_chunk_out_of_order_forgets_the_transfer_and_the_next_one_works() -> None:
    chunks = split_chunks(bytes(5000), 1)
    assembler = ChunkAssembler()
    assembler.receive(chunks[0])
    with pytest.raises(BitstreamError, match="expected chunk 1 of 5"):
        assembler.receive(chunks[2])
    with pytest.raises(BitstreamError):
        assembler.receive(chunks[1])
    assert [assembler.receive(chunk) for chunk in split_chunks(b"x" * 3000, 2)][-1] == b"x" * 3000


def test_a_new_transfer_replaces_an_unfinished_one() -> None:
    assembler = ChunkAssembler()
    assembler.receive(split_chunks(bytes(5000), 1)[0])
    assert assembler.receive(split_chunks(b"new", 2)[0]) == b"new"


def test_a_peer_cannot_make_it_hold_more_than_one_transfer() -> None:
    assembler = ChunkAssembler()
    for transfer in range(1000):
        assembler.receive(split_chunks(bytes(250_000), transfer)[0])
    assert sum(map(len, assembler._parts)) < CHUNK_BYTES


@given(st.lists(st.binary(max_size=1200), max_size=5))
def test_any_chunks_are_taken_or_raise(chunks: list[bytes]) -> None:
    assembler = ChunkAssembler()
    for chunk in chunks:
        try:
            assembler.receive(chunk)
        except BitstreamError:
            continue


def test_the_pacer_keeps_its_rate_and_never_exceeds_its_burst() -> None:
    pacer = Pacer(0.0, bytes_per_s=110_000, burst_bytes=1100)
    now = 0.0
    sent = 0
    while sent < 110_000:
        delay = pacer.delay(1100, now)
        if delay:
            now += delay
        else:
            sent += 1100
        assert sent <= 1100 + now * 110_000 + 1e-6
    assert now == pytest.approx(1.0, rel=0.02)


def test_the_pacer_passes_more_than_its_burst_after_a_full_bucket() -> None:
    pacer = Pacer(0.0, bytes_per_s=1000, burst_bytes=100)
    assert pacer.delay(500, 0.0) == 0.0
    assert pacer.delay(100, 0.0) == pytest.approx(0.5)


def test_the_pacer_refuses_a_rate_of_zero() -> None:
    with pytest.raises(ValueError, match="positive"):
        Pacer(0.0, bytes_per_s=0, burst_bytes=1)
