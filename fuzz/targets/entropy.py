"""The arithmetic coder: any bytes decode to symbols; those that it accepts are what the encoder writes for them."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.entropy import TOTAL, Decoder, Encoder, FrequencyTable
from fuzz.target import Target

_MAX_BYTES = 250
_TABLES = tuple(
    FrequencyTable.from_frequencies(frequencies)
    for frequencies in ((1, TOTAL - 2, 1), (TOTAL // 2, TOTAL // 2), (1,) * TOTAL, (TOTAL - 1096, 1000, 90, 6))
)


def build() -> Target:
    """Inputs: 1 byte number of symbols, 1 byte which table is first, the rest the code."""
    seeds = []
    for count in (1, 8, 60):
        encoder = Encoder()
        for number in range(count):
            table = _TABLES[number % len(_TABLES)]
            encoder.encode(number * 7 % table.symbols, table)
            encoder.encode_bits(number % 8, 3)
        seeds.append(bytes((count, 0)) + encoder.finish())
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(seeds), max_bytes=_MAX_BYTES + 8)


def _check(data: bytes) -> None:
    count, first = (data[0], data[1]) if len(data) >= 2 else (0, 0)
    decoder, encoder = Decoder(data[2:], _MAX_BYTES), Encoder()
    for number in range(count):
        table = _TABLES[(first + number) % len(_TABLES)]
        symbol = decoder.decode(table)
        bits = decoder.decode_bits(3)
        encoder.encode(symbol, table)
        encoder.encode_bits(bits, 3)
    decoder.finish()
    assert encoder.finish() == data[2:]
