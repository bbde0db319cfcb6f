"""Packets and files for the independent decoder, written from docs/bitstream.md alone like the rest of it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from tests.conformance.independent_decoder import Refused, need


def read_feedback(data: bytes) -> dict[str, int]:
    """Fields of a feedback."""
    need(len(data) == 12, "12 bytes")
    names = ("sequence", "received", "time_ms", "transit_ms", "held_ms", "lost")
    return dict(zip(names, struct.unpack(">BIHHBH", data), strict=True))


def read_reference_packet(data: bytes) -> dict[str, Any]:
    """Fields of a reference packet, as in the document's table."""
    need(len(data) >= 13 + 1 + 8, "cut short")
    magic, place, time_ms, kind, base, frame_px, P = struct.unpack(">4sBHBBHH", data[:13])
    need(magic == b"AKR2", "magic")
    need(hashlib.sha256(data[:-8]).digest()[:8] == data[-8:], "check")
    need(P <= 4096 and 1 <= len(data) - 13 - P - 8 <= 262_144, "lengths")
    need(kind & 127 != 3 or len(data) - 13 - P - 8 == 16, "the name of a kept picture")
    need(kind & 127 in (1, 2, 3) and 16 <= frame_px <= 2048 and (kind >= 128 or base == 0), "fields")
    return {
        "slot": place >> 4,
        "generation": place & 15,
        "time_ms": time_ms,
        "frame_px": frame_px,
        "picture_codec": kind & 127,
        "base": [base >> 4, base & 15] if kind >= 128 else None,
        "parameters": data[13 : 13 + P].hex(),
        "picture": data[13 + P : -8].hex(),
    }


def name_of_picture(rows: bytes, side: int, codec_id: str) -> str:
    """The name of a kept picture, hex; rows: its pixels, R G B, row by row."""
    need(len(rows) == 3 * side * side, "size")
    text = b"adasr kept picture" + codec_id.encode() + struct.pack(">H", side) + rows
    return hashlib.sha256(text).hexdigest()[:32]


def marks_of_names(salt: bytes, names: Sequence[str]) -> str:
    """What tells of kept pictures, hex."""
    return "".join(hashlib.sha256(salt + bytes.fromhex(name)).hexdigest()[:8] for name in names)


def read_anchor_packet(data: bytes) -> dict[str, Any]:
    """Fields of an anchor packet, as in the document's table."""
    need(3 + 3 <= len(data) <= 3 + 262_144, "length")
    mark, time_ms, chain, index = struct.unpack(">BHBB", data[:5])
    need(mark == 0xA3, "mark")
    return {"time_ms": time_ms, "chain": chain, "index": index, "unit": data[5:].hex()}


def units_that_follow(places: Sequence[tuple[int, int]]) -> list[bool]:
    """Which of these units, each with chain and index, a decoder takes, when it can decode all that it takes."""
    expected: tuple[int, int] | None = None
    taken = []
    for chain, index in places:
        follows = index == 0 or (chain, index) == expected
        if follows:
            expected = (chain, index + 1 if index < 255 else 1)
        taken.append(follows)
    return taken


@dataclass
class File:
    """What an .akc file holds: header, (times, motion message) or reference packets in order, sound packets."""

    header: dict[str, Any]
    records: list[tuple[tuple[int, ...], bytes] | dict[str, Any]]
    audio: list[tuple[int, int, str]]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        need(count <= len(self.data) - self.at, "cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = 0
        for place in range(9):
            (byte,) = self.take(1)
            value += (byte & 127) << 7 * place
            if byte < 128:
                need(byte > 0 or place == 0, "varint longer than it must be")
                return value
        raise Refused("varint of more than nine bytes")

    def signed_varint(self) -> int:
        value = self.varint()
        return value // 2 if value % 2 == 0 else -(value + 1) // 2


def read_akc(data: bytes) -> File:
    """A whole file."""
    reader = _Reader(data)
    magic, version, header_bytes = struct.unpack(">4sHI", reader.take(10))
    need((magic, version) == (b"AKC3", 3) and header_bytes <= 65_536, "prefix")
    header = msgpack.unpackb(reader.take(header_bytes))
    need(set(header) == {"codec_id", "model", "frame_px", "frame_rate", "frames"}, "header keys")
    numerator, denominator = header["frame_rate"]
    file = File(header, [], [])
    counts, sizes = [0, 0, 0], [0, 0, 0]
    anchor = since = last = audio_time = 0
    has_sound = False
    held: dict[int, int] = {}
    while True:
        start = reader.at
        (kind,) = reader.take(1)
        payload = _Reader(reader.take(reader.varint()))
        size = reader.at - start
        if kind == 255:
            break
        if kind in (*range(16, 24), *range(32, 40)):
            n = kind - (31 if kind >= 32 else 15)
            regular = tuple(anchor + (since + k) * 90_000 * denominator // numerator for k in range(n))
            times = regular
            if kind >= 32:
                at, own = last, []
                for _ in range(n):
                    at += payload.varint()
                    own.append(at)
                times = tuple(own)
                need(times != regular, "times that need no record of their own")
                anchor, since = times[-1], 1
            else:
                since += n
            for time in times:
                need(time > last or (counts[0] == 0 and time >= 0), "times do not rise")
                last, counts[0] = time, counts[0] + 1
            sizes[0] += size
            message = payload.take(len(payload.data) - payload.at)
            need(held.get(message[0] >> 4) == message[0] & 15, "a reference that is not there")
            file.records.append((times, message))
        elif kind == 2:
            packet = read_reference_packet(payload.data)
            held[packet["slot"]] = packet["generation"]
            file.records.append(packet)
            counts[1], sizes[1] = counts[1] + 1, sizes[1] + size
        elif kind == 3:
            need(not has_sound, "a second audio stream")
            has_sound = True
            stream = msgpack.unpackb(payload.data)
            need(set(stream) == {"codec_name", "sample_rate", "layout", "time_base", "extradata"}, "audio keys")
            sizes[2] += size
        elif kind == 4:
            need(has_sound, "sound before its description")
            audio_time += payload.signed_varint()
            duration = payload.varint()
            content = payload.take(len(payload.data) - payload.at)
            need(1 <= len(content) <= 131_072, "audio packet length")
            file.audio.append((audio_time, duration, content.hex()))
            counts[2], sizes[2] = counts[2] + 1, sizes[2] + size
        else:
            raise Refused(f"record type {kind}")
    need(reader.at == len(data) and len(payload.data) == 40, "something behind the index")
    need(struct.unpack(">IIIQQQ", payload.data[:36]) == (*counts, *sizes), "index")
    need(zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "big"), "CRC-32")
    need(counts[0] == header["frames"], "frames of the header")
    return file
