"""What is read of a reference's AV1 unit before a decoder sees it."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.av1_units import frame_unit_size, strip_delimiter
from fuzz.material import av1_chain
from fuzz.target import Target


def build() -> Target:
    """A key unit is refused or has a size that AV1 can state; another unit is refused or has none."""
    units = [data[2:] for data in (*av1_chain(64, 3), *av1_chain(512, 1))]
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(units), max_bytes=4096)


def _check(data: bytes) -> None:
    refusals = []
    for unit in (data, strip_delimiter(data)):
        for key in (True, False):
            try:
                size = frame_unit_size(unit, key=key)
            except BitstreamError as error:
                refusals.append(error)
                continue
            assert (size is not None) == key
            assert size is None or all(1 <= side <= 65_536 for side in size)
    if len(refusals) == 4:
        raise refusals[0]
