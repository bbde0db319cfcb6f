"""Plain random mutation over seeds: what the fuzz targets run on where atheris is not installed."""

from __future__ import annotations

import random
from collections.abc import Sequence

_TELLING_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_TELLING_LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)
_MOST_CHANGES = 5


class Mutator:
    """An endless, repeatable stream of damaged inputs."""

    def __init__(self, seeds: Sequence[bytes], max_bytes: int, seed: int) -> None:
        """Start from these seeds, 1 or more. Equal arguments give equal streams.

        max_bytes: no input is longer. seed: of the random numbers.
        """
        self._seeds = tuple(seeds)
        self._max_bytes = max_bytes
        self._random = random.Random(seed)

    def next(self) -> bytes:
        """The next input: one in 32 is noise, the others are a seed with 1 to 5 changes."""
        rng = self._random
        if rng.random() < 1 / 32:
            return rng.randbytes(rng.randrange(min(self._max_bytes, 256) + 1))
        data = bytearray(rng.choice(self._seeds))
        for _ in range(rng.randint(1, _MOST_CHANGES)):
            self._change(data)
        return bytes(data[: self._max_bytes])

    def _change(self, data: bytearray) -> None:
        rng = self._random
        at = rng.randrange(len(data) + 1)
        span = rng.randint(1, 16)
        match rng.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(data):
                data[at] = rng.choice(_TELLING_BYTES)
            case 2 if at < len(data):
                data[at] = (data[at] + rng.randint(-3, 3)) % 256
            case 3:
                width = rng.choice((2, 4, 8))
                value = rng.choice(_TELLING_LENGTHS) & (1 << 8 * width) - 1
                data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))
            case 4:
                del data[at : at + span]
            case 5:
                data[at:at] = rng.randbytes(span)
            case 6:
                data[at:at] = data[max(0, at - rng.randint(1, 256)) : at]
            case 7:
                del data[at:]
            case 8:
                other = rng.choice(self._seeds)
                data[at:] = other[min(at, len(other)) :]
            case _:
                data.append(rng.randrange(256))
