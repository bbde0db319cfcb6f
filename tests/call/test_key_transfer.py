import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.errors import BitstreamError
from call.key_receiver import KeyReceiver
from call.key_transfer import (
    CHUNK_HEADER_BYTES,
    MAX_BODY_BYTES,
    MAX_CHUNK_BYTES,
    MAX_TRANSFER_BYTES,
    MIN_BODY_BYTES,
    PROBE,
    KeyAck,
    KeyChunk,
    KeyRefusal,
    split_transfer,
    unpack_key_message,
)


def test_the_bytes_of_each_message() -> None:
    data = b"hello" * 26
    chunk = KeyChunk(0x0102, 1, 2, 130, zlib.crc32(data), data[65:])
    assert chunk.pack().hex() == "01010200010002000082" + f"{zlib.crc32(data):08x}" + data[65:].hex()
    whole = KeyChunk(0x0102, 0, 1, 5, zlib.crc32(b"hello"), b"hello")
    assert whole.pack().hex() == "040102" + b"hello".hex()
    assert unpack_key_message(whole.pack()) == whole
    assert KeyAck(7, 3, frozenset({5, 12})).pack().hex() == "02000700030201"
    assert KeyAck(7, 3).pack().hex() == "0200070003"
    assert KeyRefusal(0xFFFF).pack().hex() == "03ffff"
    assert unpack_key_message(PROBE) is None


@given(st.integers(1, 20_000), st.integers(MIN_BODY_BYTES, MAX_BODY_BYTES), st.integers(0, 200_000))
def test_every_chunk_of_a_transfer_packs_unpacks_and_fits_a_datagram(size: int, body: int, transfer: int) -> None:
    chunks = split_transfer(bytes(size), transfer, body)
    assert b"".join(chunk.body for chunk in chunks) == bytes(size)
    assert len(chunks) == 1 or max(len(chunk.body) for chunk in chunks) <= body
    for chunk in chunks:
        packed = chunk.pack()
        assert len(packed) <= MAX_CHUNK_BYTES
        assert unpack_key_message(packed) == chunk


@given(st.integers(0, 65535), st.integers(0, 3000), st.sets(st.integers(0, 511)))
def test_acknowledgements_pack_and_unpack(transfer: int, next_index: int, offsets: set[int]) -> None:
    ack = KeyAck(transfer, next_index, frozenset(next_index + 1 + offset for offset in offsets))
    assert unpack_key_message(ack.pack()) == ack


def test_what_fits_one_message_travels_whole() -> None:
    """Whatever the length of bodies is; one byte more, and it is cut."""
    for size in (1, 700, MAX_BODY_BYTES):
        (whole,) = split_transfer(bytes(size), 0xFFFF, MIN_BODY_BYTES)
        assert whole.pack() == b"\x04\xff\xff" + bytes(size)
        assert KeyReceiver().receive(whole, 0.0) == bytes(size)
    for body in (MIN_BODY_BYTES, MAX_BODY_BYTES):
        assert len(split_transfer(bytes(MAX_BODY_BYTES + 1), 0, body)) >= 2


def test_lengths_of_a_whole() -> None:
    for size in (0, MAX_BODY_BYTES + 1, 60_000):
        with pytest.raises(BitstreamError, match=f"kind 4 with {3 + size} bytes"):
            unpack_key_message(b"\x04\0\0" + bytes(size))


def test_there_is_no_chunk_of_one() -> None:
    """A transfer of one piece has one form."""
    old = bytes.fromhex("010102000000010000053610a686") + b"hello"
    with pytest.raises(BitstreamError, match="got 0 of 1, expected below 2"):
        unpack_key_message(old)


def test_a_whole_that_comes_twice_is_acknowledged_twice_and_taken_once() -> None:
    receiver = KeyReceiver()
    (whole,) = split_transfer(b"anchor", 8, 400)
    assert receiver.receive(whole, 0.0) == b"anchor"
    assert [unpack_key_message(m) for m in receiver.datagrams_to_send(0.0)] == [KeyAck(8, 1)]
    assert receiver.receive(whole, 0.1) is None
    assert [unpack_key_message(m) for m in receiver.datagrams_to_send(0.1)] == [KeyAck(8, 1)]


def test_a_whole_under_the_number_of_an_unfinished_transfer_is_refused() -> None:
    receiver = KeyReceiver()
    chunks = split_transfer(bytes(1500), 5, 900)
    receiver.receive(chunks[0], 0.0)
    with pytest.raises(BitstreamError, match="as before"):
        receiver.receive(split_transfer(b"x", 5, 900)[0], 0.0)
    assert receiver.receive(chunks[1], 0.0) == bytes(1500)


def test_what_cannot_be_sent_is_refused() -> None:
    for data in (b"", bytes(MAX_TRANSFER_BYTES + 1)):
        with pytest.raises(ValueError, match="transfer"):
            split_transfer(data, 0, MAX_BODY_BYTES)
    with pytest.raises(ValueError, match="body"):
        split_transfer(b"x", 0, MAX_BODY_BYTES + 1)


_CHUNK = split_transfer(bytes(5000), 3, 900)[1]


@pytest.mark.parametrize(
    "chunk",
    [
        replace(_CHUNK, index=6),
        replace(_CHUNK, count=0),
        replace(_CHUNK, index=0, count=2, total_bytes=1, body=b"x"),
        replace(_CHUNK, count=65535),
        replace(_CHUNK, total_bytes=0),
        replace(_CHUNK, total_bytes=MAX_TRANSFER_BYTES + 1),
        replace(_CHUNK, total_bytes=0xFFFFFF),
        replace(_CHUNK, body=_CHUNK.body[:-1]),
        replace(_CHUNK, body=_CHUNK.body + b"x"),
        KeyChunk(0, 0, 50, 100, 0, bytes(2)),
        KeyChunk(0, 2, 3, 150, 0, bytes(50)),
    ],
)
def test_fields_that_contradict_each_other_are_refused(chunk: KeyChunk) -> None:
    with pytest.raises(BitstreamError):
        unpack_key_message(chunk.pack())


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00", b"\x01", b"\x02", b"\x03\x00", b"\x03\x00\x00\x00", b"\x04ab", b"\x05abc"]
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        unpack_key_message(data)


def test_every_truncation_of_a_chunk_is_refused() -> None:
    packed = _CHUNK.pack()
    for length in range(len(packed)):
        if packed[:length] == PROBE:
            continue
        with pytest.raises(BitstreamError):
            unpack_key_message(packed[:length])


@given(st.binary(max_size=1100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message = unpack_key_message(data)
    except BitstreamError:
        return
    assert message is None or message.pack() == data or isinstance(message, KeyAck)


def test_a_transfer_comes_out_whole_in_any_order_and_once() -> None:
    data = bytes(range(256)) * 30
    receiver = KeyReceiver()
    chunks = split_transfer(data, 9, 500)
    results = [receiver.receive(chunk, 0.0) for chunk in reversed(chunks)]
    assert results[:-1] == [None] * (len(chunks) - 1)
    assert results[-1] == data
    assert receiver.receive(chunks[0], 1.0) is None
    answers = [unpack_key_message(message) for message in receiver.datagrams_to_send(1.0)]
    assert answers == [KeyAck(9, len(chunks))]
    assert receiver.held_bytes == 0


def test_acknowledgements_wait_but_not_long_and_say_what_is_there() -> None:
    receiver = KeyReceiver()
    chunks = split_transfer(bytes(5000), 1, 500)
    for index in (0, 1, 4, 7):
        receiver.receive(chunks[index], 2.0)
    assert receiver.datagrams_to_send(2.02) == []
    assert receiver.next_deadline() == pytest.approx(2.03)
    assert [unpack_key_message(m) for m in receiver.datagrams_to_send(2.03)] == [KeyAck(1, 2, frozenset({4, 7}))]
    assert receiver.next_deadline() is None
    receiver.receive(chunks[2], 2.5)
    assert [unpack_key_message(m) for m in receiver.datagrams_to_send(2.5, early=True)] == [
        KeyAck(1, 3, frozenset({4, 7}))
    ]


def test_a_newer_transfer_replaces_an_unfinished_one_and_stragglers_are_ignored() -> None:
    receiver = KeyReceiver()
    old = split_transfer(bytes(5000), 65535, 900)
    receiver.receive(old[0], 0.0)
    assert receiver.receive(split_transfer(b"new", 0, 900)[0], 0.1) == b"new"  # numbers wrap
    assert [receiver.receive(chunk, 0.2) for chunk in old] == [None] * len(old)


def test_a_peer_cannot_make_it_hold_more_than_one_transfer() -> None:
    receiver = KeyReceiver()
    for transfer in range(200):
        receiver.receive(split_transfer(bytes(250_000), transfer, 986)[0], 0.0)
    assert receiver.held_bytes <= MAX_CHUNK_BYTES - CHUNK_HEADER_BYTES
    for transfer in range(200, 300):
        receiver.receive(split_transfer(b"done", transfer, 986)[0], 0.0)
    assert len(receiver._answers) <= 32
    assert len(receiver.datagrams_to_send(9.0)) <= 32


def test_chunks_of_one_transfer_must_agree() -> None:
    receiver = KeyReceiver()
    receiver.receive(split_transfer(bytes(5000), 4, 900)[0], 0.0)
    with pytest.raises(BitstreamError, match="as before"):
        receiver.receive(split_transfer(bytes(5001), 4, 900)[1], 0.0)


def test_a_transfer_that_does_not_fit_its_check_is_refused_for_good() -> None:
    receiver = KeyReceiver()
    chunks = [replace(chunk, check=1) for chunk in split_transfer(bytes(1500), 4, 900)]
    receiver.receive(chunks[0], 0.0)
    with pytest.raises(BitstreamError, match="check"):
        receiver.receive(chunks[1], 0.0)
    assert [unpack_key_message(m) for m in receiver.datagrams_to_send(0.0)] == [KeyRefusal(4)]
