"""What is read of an AVIF still before a decoder sees it."""

from __future__ import annotations

from adasr_core.bitstream import BitstreamError
from adasr_core.bitstream.avif_still import coded_size
from fuzz.material import still
from fuzz.target import Target


def build() -> Target:
    """A still is refused or has a size that AV1 can state."""
    return Target(check=_check, errors=(BitstreamError,), seeds=(still(16), still(64), still(250)), max_bytes=4096)


def _check(data: bytes) -> None:
    width, height = coded_size(data)
    assert 1 <= width <= 65_536
    assert 1 <= height <= 65_536
