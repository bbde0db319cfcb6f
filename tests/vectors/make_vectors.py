"""Writes the conformance vectors: ``python -m tests.vectors.make_vectors`` from the repository's root.

The motion is made up from seeds. The tables stay as they lie here, unless ``--new-tables`` is given: they are fitted by
floating-point algebra, which differs in its last digits from machine to machine.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from adasr_core.bitstream import (
    BITSTREAM_VERSION,
    AkcHeader,
    AkcWriter,
    AudioPacket,
    AudioStream,
    CodedFrame,
    FrameToCode,
    MotionCodec,
    MotionMessage,
    MotionTables,
    ReferencePacket,
)
from adasr_core.geometry import MotionParameters
from fuzz.made_tables import made_tables
from fuzz.material import head_motion, still
from tests.vectors.packet_vectors import (
    PICTURE_PX,
    anchor_vectors,
    feedback_vectors,
    kept_picture_vectors,
    reference_vectors,
)

FOLDER = Path(__file__).resolve().parent
TABLES = FOLDER / "tables.safetensors"
VECTORS = FOLDER / "vectors.json"
AKC = FOLDER / "small.akc"

K, COMPONENTS, RADIUS, REFERENCE_RADIUS = 4, 8, 5, 9
_FRAME_MS = 40
_RATE = (25_000, 1001)


@dataclass(slots=True)
class _Stream:
    """One run of messages that build on each other, as a sender makes them."""

    codec: MotionCodec
    references: dict[str, MotionParameters]
    name: str
    newest: int = -1
    base: CodedFrame | None = None
    messages: list[dict[str, object]] = field(default_factory=list)

    def send(
        self,
        frames: Sequence[FrameToCode],
        *,
        reference: str = "plain",
        place: tuple[int, int] = (0, 0),
        quality: int = 4,
        with_base: bool = False,
        repeats: int = 0,
    ) -> tuple[CodedFrame, ...]:
        """Code the next message; its newest frame is the base of the next one that wants a base."""
        self.newest += len(frames) - repeats
        message, coded = self.codec.encode_message(
            frames,
            self.references[reference],
            slot=place[0],
            generation=place[1],
            sequence=self.newest % 256,
            quality=quality,
            base=self.base if with_base else None,
            repeats=repeats,
        )
        self.base = coded[-1]
        self.messages.append(
            {"reference": reference, "message": message.pack().hex(), "frames": [_frame(frame) for frame in coded]}
        )
        return coded

    def vector(self) -> dict[str, object]:
        """For the JSON file."""
        return {"name": self.name, "messages": self.messages}


def _frame(frame: CodedFrame) -> dict[str, object]:
    return {
        "sequence": frame.sequence,
        "time_ms": frame.time_ms,
        "slot": frame.slot,
        "generation": frame.generation,
        "quality": frame.quality,
        "coefficients": list(frame.coefficients),
        "parameters": _numbers(frame.parameters),
    }


def _numbers(parameters: MotionParameters) -> list[float]:
    return [round(float(value), 6) for value in parameters.vector()]


def _times(
    motion: Sequence[MotionParameters], first: int, count: int, interval_ms: int = _FRAME_MS
) -> list[FrameToCode]:
    """Frames first..first + count - 1 of a motion, at a steady rate."""
    return [
        FrameToCode(number * interval_ms % 65_536, motion[number % len(motion)])
        for number in range(first, first + count)
    ]


def _wild_motion(frames: int) -> list[MotionParameters]:
    """Far from anything that the tables expect: every level escapes, and values meet their limits."""
    rng = np.random.default_rng(5)
    return [
        MotionParameters.create(
            rng.uniform(-3.9, 3.9, (K, 2)).astype(np.float32), rng.uniform(-15, 15, (K, 2, 2)).astype(np.float32)
        )
        for _ in range(frames)
    ]


def _streams(codec: MotionCodec, references: dict[str, MotionParameters]) -> Iterator[_Stream]:
    motion, wild = head_motion(K, 60, seed=3), _wild_motion(8)

    def stream(name: str) -> _Stream:
        return _Stream(codec, references, name)

    for quality in range(16):
        alone = stream(f"one frame against the reference alone, quality {quality}")
        alone.send(_times(motion, 7, 1), quality=quality)
        yield alone
    for count in range(2, 9):
        together = stream(f"{count} frames against the reference alone")
        together.send(_times(motion, 10, count))
        yield together

    still_stream = stream("nothing moves")
    for count in range(1, 9):
        frames = [FrameToCode((10 * count + number) * 40, references["plain"]) for number in range(count)]
        still_stream.send(frames, with_base=count > 1)
    yield still_stream

    for count in range(1, 9):
        chain = stream(f"each message on the newest frame of the one before, {count} frames a message")
        for number in range(6):
            chain.send(_times(motion, number * count, count), with_base=number > 0)
        yield chain

    distances = stream("bases at distances from 1 to 63, and frames between")
    first = distances.send(_times(motion, 0, 1))[-1]
    for distance in (1, 2, 3, 4, 5, 6, 7, 9, 10, 14, 15, 31, 63):
        distances.base, distances.newest = first, distance - min(distance, 4)
        distances.send(_times(motion, distance - min(distance, 4) + 1, min(distance, 4)), with_base=True)
    for distance in (5, 7, 8, 9, 12, 16, 40, 63):
        distances.base, distances.newest = first, distance - min(distance, 8)
        distances.send(_times(motion, distance - min(distance, 8) + 1, min(distance, 8)), with_base=True)
    yield distances

    repeated = stream("repeats of frames that went before, coarser")
    repeated.send(_times(motion, 0, 1), quality=3)
    for start, count, repeats in (
        (0, 2, 1),
        (0, 4, 2),
        (2, 4, 3),
        (5, 3, 2),
        (6, 2, 1),
        (0, 8, 7),
        (8, 6, 2),
        (14, 5, 4),
    ):
        repeated.send(_times(motion, start, count), quality=3, repeats=repeats)
    repeated.base, repeated.newest = None, 20
    early = repeated.send(_times(motion, 20, 1), quality=12)[-1]
    for count in range(1, 9):
        repeated.base = early
        repeated.send(_times(motion, 21, count), quality=12, repeats=count - 1, with_base=True)
    yield repeated

    escaped = stream("escaped levels and values at their limits")
    for number, frame in enumerate(wild):
        escaped.send([FrameToCode(number * _FRAME_MS, frame)], quality=number % 2, with_base=number % 3 > 0)
    escaped.send([FrameToCode(1000 + number, frame) for number, frame in enumerate(wild[:4])], quality=0)
    escaped.send([FrameToCode(2000 + number, frame) for number, frame in enumerate(wild)], quality=0)
    yield escaped

    changing = stream("the quality changes from message to message")
    for number, quality in enumerate((0, 15, 3, 8, 0, 15)):
        changing.send(_times(motion, number * 2, 2), quality=quality, with_base=number > 0)
    yield changing

    wrapping = stream("sequence and time go past their ends")
    wrapping.newest = 246
    for number in range(8):
        wrapping.send(_times(motion, 247 + 3 * number, 3, interval_ms=257), with_base=number > 0)
    yield wrapping

    uneven = stream("frames at uneven times, 1 to 1023 ms apart")
    time_ms = 65_000
    for number, gaps in enumerate(
        ((1,), (1023, 1), (33, 34, 33), (40, 41, 500, 40), (20, 20, 20, 20), (7,), (40, 1, 1023, 41, 40, 39, 300, 40))
    ):
        late: list[FrameToCode] = []
        for gap in gaps:
            time_ms = (time_ms + gap) % 65_536
            late.append(FrameToCode(time_ms, motion[number * 4 + len(late)]))
        uneven.send(late, with_base=number > 0)
    yield uneven

    others = stream("a base that was coded against another reference")
    places = (("plain", (0, 0)), ("on plain", (1, 7)), ("plain", (0, 0)), ("far", (15, 15)), ("plain", (2, 0)))
    for number, (name, place) in enumerate(places):
        others.send(_times(motion, number * 2, 2), reference=name, place=place, with_base=number > 0)
    yield others


def _refused(codec: MotionCodec, references: dict[str, MotionParameters], chain: _Stream) -> list[dict[str, str]]:
    """Messages that every decoder refuses, against the reference "plain" and with no frame held."""
    sound = bytes.fromhex(str(chain.messages[0]["message"]))
    on_base = bytes.fromhex(str(chain.messages[1]["message"]))
    cases = {
        "its base is not held": on_base,
        "a byte behind the code": sound + b"\x01",
        "a zero behind the code": sound + b"\x00",
        "header cut short": sound[:3],
        "no bytes": b"",
        "too long": sound[:4] + b"\x55" * 2197,
        "noise": sound[:4] + bytes(range(7, 250, 3)),
        "all ones": sound[:4] + b"\xff" * 30,
    }
    refused = []
    for reason, data in cases.items():
        try:
            codec.decode_message(MotionMessage.unpack(data), references["plain"], lambda sequence: None)
        except ValueError:
            refused.append({"reason": reason, "message": data.hex()})
        else:
            raise AssertionError(f"{reason}: the product takes it")
    return refused


def _pts_ticks(frame: int) -> int:
    """Frames 3 to 5 are late and have times of their own; the frames after them count from the last of these."""
    anchor = 5
    if frame > anchor:
        return _pts_ticks(anchor) + (frame - anchor) * 90_000 * _RATE[1] // _RATE[0]
    return frame * 90_000 * _RATE[1] // _RATE[0] + (500 if frame > 2 else 0)


def _write_akc(
    codec: MotionCodec, coded: dict[str, bytes], references: dict[str, MotionParameters]
) -> dict[str, object]:
    """A file with two references, frames at the rate and off it, and sound."""
    motion = head_motion(K, 19, seed=4)
    header = AkcHeader(codec_id="0123456789abcdef", model="vectors", frame_px=PICTURE_PX, frame_rate=_RATE, frames=19)
    buffer, records = io.BytesIO(), []
    base: CodedFrame | None = None
    starts = [0, 1, 3, 6, 11, 19]
    with AkcWriter(buffer, header) as writer:
        writer.write_audio_stream(
            AudioStream(codec_name="opus", sample_rate=48_000, layout="mono", time_base=(1, 48_000), extradata=b"\1\2")
        )
        for number, (start, end) in enumerate(pairwise(starts)):
            name, place = ("plain", (0, 0)) if number < 3 else ("far", (1, 0))
            if number in (0, 3):
                writer.write_reference(
                    ReferencePacket(
                        slot=place[0],
                        generation=place[1],
                        time_ms=start * 33,
                        frame_px=PICTURE_PX,
                        parameters=coded[name],
                        picture=still(PICTURE_PX),
                    )
                )
            frames = [FrameToCode(index * 33, motion[index]) for index in range(start, end)]
            message, held = codec.encode_message(
                frames, references[name], slot=place[0], generation=place[1], sequence=end - 1, quality=4, base=base
            )
            base = held[-1]
            ticks = tuple(map(_pts_ticks, range(start, end)))
            writer.write_motion(message, ticks)
            writer.write_audio_packet(AudioPacket(-312 + 960 * number, 960, bytes((number, 1, 2))))
            records.append({"reference": name, "pts_ticks": list(ticks), "frames": [_frame(frame) for frame in held]})
    AKC.write_bytes(buffer.getvalue())
    return {
        "file": AKC.name,
        "header": {
            "codec_id": header.codec_id,
            "model": header.model,
            "frame_px": header.frame_px,
            "frame_rate": list(header.frame_rate),
            "frames": header.frames,
        },
        "audio": [[-312 + 960 * number, 960, bytes((number, 1, 2)).hex()] for number in range(5)],
        "messages": records,
    }


def main() -> None:
    """Write tables (when told to), vectors and the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--new-tables", action="store_true", help="make the tables anew")
    if parser.parse_args().new_tables:
        made_tables(K, COMPONENTS, radius=RADIUS, reference_radius=REFERENCE_RADIUS).save(TABLES)
    codec = MotionCodec(MotionTables.load(TABLES), K)
    motion = head_motion(K, 60, seed=3)
    coded: dict[str, bytes] = {}
    references: dict[str, MotionParameters] = {}
    for name, parameters, base in (
        ("plain", motion[0], None),
        ("on plain", motion[9], "plain"),
        ("far", _wild_motion(9)[8], None),
        ("far on plain", _wild_motion(10)[9], "plain"),
    ):
        known = None if base is None else references[base]
        coded[name] = codec.encode_reference(parameters, known)
        references[name] = codec.decode_reference(coded[name], known)
    bases = {"plain": None, "on plain": "plain", "far": None, "far on plain": "plain"}
    streams = list(_streams(codec, references))
    chain = next(stream for stream in streams if stream.name.startswith("each message"))
    content = {
        "bitstream_version": BITSTREAM_VERSION,
        "keypoints": K,
        "tables": TABLES.name,
        "references": [
            {"name": name, "base": bases[name], "coded": coded[name].hex(), "parameters": _numbers(references[name])}
            for name in coded
        ],
        "streams": [stream.vector() for stream in streams],
        "refused": _refused(codec, references, chain),
        "feedback": feedback_vectors(),
        "reference_packets": reference_vectors(coded),
        "anchor_packets": anchor_vectors(),
        "kept_pictures": kept_picture_vectors(),
        "akc": _write_akc(codec, coded, references),
    }
    lines = json.dumps(content, indent=None, separators=(",", ":"))
    VECTORS.write_text(lines.replace('{"name"', '\n{"name"').replace('{"reference"', '\n{"reference"') + "\n")


if __name__ == "__main__":
    main()
