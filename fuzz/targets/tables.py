"""Tables files of model folders: safetensors from a download."""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path

from adasr_core.bitstream import MotionCodec, MotionTables
from fuzz.made_tables import made_tables
from fuzz.target import Target


def build() -> Target:
    """Tables that load make a codec, and save to a file that loads to the same."""
    seeds = []
    for K, components in ((1, 2), (2, 3)):
        made_tables(K, components, radius=1, reference_radius=1).save(_file())
        seeds.append(_file().read_bytes())
    return Target(check=_check, errors=(ValueError,), seeds=tuple(seeds), max_bytes=8192)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fuzz-tables-")


def _file() -> Path:
    return Path(_folder().name) / "tables.safetensors"


def _check(data: bytes) -> None:
    if len(data) > 8 and data[0] % 2:
        # The header's length put right where its end can be found: few mutations keep both.
        data = struct.pack("<Q", max(0, data.rfind(b"}") + 1 - 8)) + data[8:]
    _file().write_bytes(data)
    tables = MotionTables.load(_file())
    MotionCodec(tables, tables.keypoints)
    tables.save(_file())
    saved = _file().read_bytes()
    MotionTables.load(_file()).save(_file())
    assert _file().read_bytes() == saved
