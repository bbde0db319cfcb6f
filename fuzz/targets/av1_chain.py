"""References coded against earlier ones, decoder included: any sequence of units."""

from __future__ import annotations

from itertools import islice

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.av1_chain import Av1ChainDecoder
from fuzz.material import av1_chain
from fuzz.sequences import joined, parted
from fuzz.target import Target

_SIDE_PX = 64
_MOST_UNITS = 6


def build() -> Target:
    """Inputs: units as `joined`. Pictures have the size that was asked for; a key unit goes on after any fault."""
    units = av1_chain(_SIDE_PX, 3)
    seeds = (joined(units), joined(units[:1]), joined((units[0], units[2], units[1])))
    return Target(check=_check, errors=(BitstreamError,), seeds=seeds, max_bytes=4096)


def _check(data: bytes) -> None:
    decoder = Av1ChainDecoder(_SIDE_PX)
    refusal: BitstreamError | None = None
    pictures = 0
    for unit in islice(parted(data), _MOST_UNITS):
        try:
            picture = decoder.decode(unit)
        except BitstreamError as error:
            refusal = error
        else:
            pictures += 1
            assert picture.shape == (_SIDE_PX, _SIDE_PX, 3)
    assert decoder.decode(av1_chain(_SIDE_PX, 3)[0]).shape == (_SIDE_PX, _SIDE_PX, 3)
    if refusal and not pictures:
        raise refusal
