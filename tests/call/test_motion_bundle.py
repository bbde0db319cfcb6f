import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream import BitstreamError
from call.motion_bundle import MAX_BUNDLE_BYTES, bundle_packets, split_bundle

PACKETS = st.lists(st.binary(min_size=1, max_size=255), min_size=1, max_size=4)


@given(PACKETS)
def test_round_trip(packets: list[bytes]) -> None:
    message = bundle_packets(packets)
    assert len(message) <= MAX_BUNDLE_BYTES
    assert split_bundle(message) == packets


def test_one_packet_costs_one_byte() -> None:
    assert bundle_packets([b"abc"]) == b"\x01abc"
    assert bundle_packets([b"abc", b"d"]) == b"\x02\x03abcd"


@given(PACKETS, st.data())
def test_every_truncation_is_refused_or_shortens_the_last_packet(packets: list[bytes], data: st.DataObject) -> None:
    message = bundle_packets(packets)
    cut = data.draw(st.integers(0, len(message) - 1))
    try:
        short = split_bundle(message[:cut])
    except BitstreamError:
        return
    assert short[:-1] == packets[:-1]
    assert packets[-1].startswith(short[-1])


@given(st.binary(max_size=1100))
def test_any_bytes_parse_or_raise(message: bytes) -> None:
    try:
        packets = split_bundle(message)
    except BitstreamError:
        return
    assert bundle_packets(packets) == message


@pytest.mark.parametrize("packets", [[], [b""], [bytes(256)], [b"x"] * 5])
def test_a_bundle_that_does_not_fit_is_the_callers_mistake(packets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="expected 1 to"):
        bundle_packets(packets)
