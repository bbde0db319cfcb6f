"""Files of the form .akc.

Few mutations keep a file's checksum, and few that keep it keep the counts in its index. So inputs are either a file
whose checksum is put right, or records that are made into a file with the right lengths, checks and index.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from adasr_core.bitstream import AkcFile, AkcHeader, AkcWriter, BitstreamError, ReferencePacket, read_akc
from adasr_core.bitstream.akc_records import pack_varint, unpack_varint
from fuzz.made_akc import made_akc
from fuzz.sequences import joined, parted
from fuzz.target import Target

_CRC_BYTES = 4
_CHECK_BYTES = 8
_PREFIX = struct.Struct(">4sHI")
_INDEX = struct.Struct(">IIIQQQ")
_INDEX_RECORD = 0xFF
_MOTION_KINDS = (*range(16, 24), *range(32, 40))
_REFERENCE_KIND = 2
_AUDIO_KINDS = (3, 4)
_MOST_RECORDS = 40


def build() -> Target:
    """What reads can be written again and reads as the same."""
    files = [
        made_akc(messages=messages, audio=audio, regular=not audio, picture=b"?")
        for messages, audio in ((1, False), (3, False), (2, True))
    ]
    seeds = [b"\0" + file for file in files] + [b"\1" + _taken_apart(file) for file in files]
    return Target(check=_check, errors=(BitstreamError,), seeds=tuple(seeds), max_bytes=4096)


def _check(data: bytes) -> None:
    content = _assembled(data[1:]) if data[:1] == b"\1" else data[1:-_CRC_BYTES]
    file = content + zlib.crc32(content).to_bytes(_CRC_BYTES, "big")
    akc = read_akc(file)
    assert akc.sizes.total == len(file)
    assert len(akc.pts_ticks) == akc.header.frames
    assert list(akc.pts_ticks) == sorted(set(akc.pts_ticks))
    again = read_akc(_written(akc))
    assert (again.header, again.records, again.audio) == (akc.header, akc.records, akc.audio)


def _taken_apart(file: bytes) -> bytes:
    """Header and records of a sound file as `joined`: the header's map, then type and payload of each record."""
    start = _PREFIX.size + int.from_bytes(file[6:10], "big")
    parts = [file[_PREFIX.size : start]]
    while file[start] != _INDEX_RECORD:
        length, payload = unpack_varint(file, start + 1)
        parts.append(file[start : start + 1] + file[payload : payload + length])
        start = payload + length
    return joined(parts)


def _assembled(data: bytes) -> bytes:
    """A file but for its checksum, from what `_taken_apart` gives, or from anything like it."""
    header, *parts = [*islice(parted(data), _MOST_RECORDS)] or [b""]
    body = b""
    counts, sizes = [0, 0, 0], [0, 0, 0]
    for part in filter(None, parts):
        kind = part[0]
        if kind == _REFERENCE_KIND:
            part = part[:-_CHECK_BYTES] + hashlib.sha256(part[1:-_CHECK_BYTES]).digest()[:_CHECK_BYTES]
        record = part[:1] + pack_varint(len(part) - 1) + part[1:]
        body += record
        if kind in _MOTION_KINDS:
            counts[0] += kind % 8 + 1
            sizes[0] += len(record)
        elif kind == _REFERENCE_KIND:
            counts[1] += 1
            sizes[1] += len(record)
        elif kind in _AUDIO_KINDS:
            counts[2] += kind == _AUDIO_KINDS[1]
            sizes[2] += len(record)
    with suppress(ValueError):  # a header that is refused here is refused in the file as well
        header = replace(AkcHeader.unpack(header), frames=counts[0]).pack()
    prefix = _PREFIX.pack(b"AKC3", 3, len(header)) + header
    return prefix + body + bytes((_INDEX_RECORD, _INDEX.size + _CRC_BYTES)) + _INDEX.pack(*counts, *sizes)


def _written(akc: AkcFile) -> bytes:
    buffer = io.BytesIO()
    with AkcWriter(buffer, akc.header) as writer:
        for record in akc.records:
            if isinstance(record, ReferencePacket):
                writer.write_reference(record)
            else:
                writer.write_motion(record.message, record.pts_ticks)
        if akc.audio is not None:
            writer.write_audio_stream(akc.audio.stream)
            for packet in akc.audio.packets:
                writer.write_audio_packet(packet)
    return buffer.getvalue()
