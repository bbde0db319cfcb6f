import pytest

from sender.wire_cost import chunk_bytes, datagram_bytes


def test_a_datagram_is_the_sum_of_its_headers() -> None:
    # 20 + 8 + 29 + 12 + 16 + 32, as counted on a socket
    assert datagram_bytes(30) == 117
    assert datagram_bytes(32) == 117
    assert datagram_bytes(33) == 121


def test_company_saves_all_headers_but_the_chunks() -> None:
    assert datagram_bytes(30) + chunk_bytes(12) == 117 + 28


@pytest.mark.parametrize("size", [0, -1])
def test_there_is_no_empty_message(size: int) -> None:
    with pytest.raises(ValueError, match="payload_bytes"):
        datagram_bytes(size)
