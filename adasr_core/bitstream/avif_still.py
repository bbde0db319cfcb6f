"""The plain form of AVIF that reference pictures use, and the size that its AV1 data really has.

An AVIF file declares its size twice: in its boxes and in the AV1 sequence header. A decoder allocates by the second and
then scales to the first, so a file of 900 bytes that claims 512x512 can cost gigabytes. Readers therefore look at the
sequence header before anything is decoded. So that this stays simple, references are the plainest stills that encoders
write: boxes ftyp, meta, mdat; one item of one extent; AV1's reduced still picture header, whose frame size cannot be
overridden (AV1 specification 5.5.1, 5.9.2; ISO/IEC 14496-12 8.11.3 for iloc).
"""

from __future__ import annotations

import struct

from adasr_core.bitstream.errors import BitstreamError

_BOX = struct.Struct(">I4s")
# version and flags | widths: offset 4, length 4, base 0 | items | id | data reference | extents | offset | length
_ILOC = struct.Struct(">IHHHHHII")
_FIELDS_OF_FOUR_BYTES = 0x4400
_SEQUENCE_HEADER = 1
_MAX_OBUS = 64


def coded_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels that decoding this AVIF still allocates.

    Raises:
        BitstreamError: the file is not in the plain form.
    """
    boxes = _boxes(data, 0, len(data))
    if [kind for kind in boxes if kind != b"free"] != [b"ftyp", b"meta", b"mdat"]:
        raise BitstreamError(
            f"picture boxes: got {[kind.decode('latin-1') for kind in boxes]}, expected ftyp meta mdat"
        )
    meta_start, meta_end = boxes[b"meta"]
    meta = _boxes(data, meta_start + 4, meta_end)
    if b"iloc" not in meta or b"iinf" not in meta:
        raise BitstreamError("picture meta box: expected the boxes iinf and iloc")
    info_start, info_end = meta[b"iinf"]
    if info_end - info_start < 6 or data[info_start : info_start + 6] != bytes((0, 0, 0, 0, 0, 1)):
        raise BitstreamError("picture iinf box: expected exactly one item; encode it without alpha, grid or metadata")
    location_start, location_end = meta[b"iloc"]
    if location_end - location_start != _ILOC.size:
        raise BitstreamError("picture iloc box: expected one item of one extent")
    version, widths, items, _, source, extents, offset, length = _ILOC.unpack_from(data, location_start)
    if (version, widths, items, source, extents) != (0, _FIELDS_OF_FOUR_BYTES, 1, 0, 1) or offset + length > len(data):
        raise BitstreamError("picture iloc box: expected one item of one extent inside the file")
    return _sequence_size(data[offset : offset + length])


def _boxes(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Content ranges of the boxes in data[start:end], in order; each kind at most once."""
    boxes: dict[bytes, tuple[int, int]] = {}
    while start < end:
        if end - start < _BOX.size:
            raise BitstreamError(f"picture box at byte {start}: cut short")
        size, kind = _BOX.unpack_from(data, start)
        if not _BOX.size <= size <= end - start or kind in boxes:
            raise BitstreamError(f"picture box {kind!r} at byte {start}: wrong size, or there twice")
        boxes[kind] = (start + _BOX.size, start + size)
        start += size
    return boxes


def _sequence_size(item: bytes) -> tuple[int, int]:
    """Frame size from the only sequence header among the item's AV1 units (OBUs)."""
    headers: list[bytes] = []
    offset = 0
    for _ in range(_MAX_OBUS):
        if offset >= len(item):
            break
        first = item[offset]
        if first & 0x80 or not first & 0x02:
            raise BitstreamError("picture AV1 unit: expected a unit that states its size")
        offset += 2 if first & 0x04 else 1
        size = shift = 0
        while True:
            if offset >= len(item) or shift > 28:
                raise BitstreamError("picture AV1 unit: cut short")
            byte = item[offset]
            size |= (byte & 0x7F) << shift
            offset, shift = offset + 1, shift + 7
            if byte < 0x80:
                break
        if first >> 3 & 0x0F == _SEQUENCE_HEADER:
            headers.append(item[offset : offset + size])
        offset += size
    if offset != len(item) or len(headers) != 1:
        raise BitstreamError(f"picture AV1 data: got {len(headers)} sequence headers, expected one in whole units")
    # profile 3 | still_picture 1 | reduced_still_picture_header 1 | level 5 | width bits - 1: 4 | height bits - 1: 4,
    # then width - 1 and height - 1 in that many bits.
    bits = int.from_bytes(headers[0][:8].ljust(8, b"\0"), "big")
    if bits >> 59 & 0b11 != 0b11:
        raise BitstreamError("picture AV1 data: expected the reduced still picture header")
    width_bits = (bits >> 50 & 0x0F) + 1
    height_bits = (bits >> 46 & 0x0F) + 1
    width = (bits >> 46 - width_bits & (1 << width_bits) - 1) + 1
    height = (bits >> 46 - width_bits - height_bits & (1 << height_bits) - 1) + 1
    return width, height
