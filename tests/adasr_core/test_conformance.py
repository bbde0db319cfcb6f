"""The conformance vectors of tests/vectors, through the product and through the independent decoder.

Integers must be equal, parameters within 1e-5. `python -m tests.vectors.make_vectors` writes the vectors.
"""

from __future__ import annotations

import ast
import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from adasr_core.bitstream import (
    BITSTREAM_VERSION,
    AnchorPacket,
    BitstreamError,
    CodedFrame,
    MissingBaseError,
    MotionCodec,
    MotionFeedback,
    MotionMessage,
    MotionTables,
    ReferencePacket,
    read_akc,
)
from adasr_core.bitstream.kept_picture import kept_marks, kept_name
from adasr_core.geometry import MotionParameters
from tests.conformance import independent_decoder as independent
from tests.conformance import independent_packets
from tests.conformance.independent_decoder import IndependentDecoder, Vector

FOLDER = Path(__file__).resolve().parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())
TOLERANCE = 1e-5


class Decoder(Protocol):
    """What the tests ask of a decoder."""

    refused: type[Exception]
    base_not_held: type[Exception]

    def reference(self, data: bytes, base: Vector | None) -> Vector: ...

    def message(self, data: bytes, reference: Vector, held: dict[int, Any]) -> list[Any]: ...

    def vector(self, frame: Any) -> Vector: ...

    def reference_packet(self, data: bytes) -> dict[str, Any]: ...

    def anchor_packet(self, data: bytes) -> dict[str, Any]: ...

    def kept_name(self, rows: bytes, side: int, codec_id: str) -> str: ...

    def kept_marks(self, salt: bytes, names: list[str]) -> str: ...

    def feedback(self, data: bytes) -> dict[str, int]: ...

    def akc(self, data: bytes) -> tuple[dict[str, Any], list[Any], list[Any]]: ...


class Product:
    """The product's own decoder."""

    refused: type[Exception] = BitstreamError
    base_not_held: type[Exception] = MissingBaseError

    def __init__(self) -> None:
        self._codec = MotionCodec(MotionTables.load(FOLDER / VECTORS["tables"]), VECTORS["keypoints"])

    def reference(self, data: bytes, base: Vector | None) -> Vector:
        known = None if base is None else MotionParameters.from_vector(base)
        return self._codec.decode_reference(data, known).vector().astype(np.float64)

    def message(self, data: bytes, reference: Vector, held: dict[int, CodedFrame]) -> list[CodedFrame]:
        message = MotionMessage.unpack(data)
        return list(self._codec.decode_message(message, MotionParameters.from_vector(reference), held.get))

    def vector(self, frame: CodedFrame) -> Vector:
        return frame.parameters.vector().astype(np.float64)

    def reference_packet(self, data: bytes) -> dict[str, Any]:
        packet = ReferencePacket.unpack(data)
        assert packet.pack() == data
        return {
            "slot": packet.slot,
            "generation": packet.generation,
            "time_ms": packet.time_ms,
            "frame_px": packet.frame_px,
            "picture_codec": packet.picture_codec,
            "base": None if packet.base is None else list(packet.base),
            "parameters": packet.parameters.hex(),
            "picture": packet.picture.hex(),
        }

    def anchor_packet(self, data: bytes) -> dict[str, Any]:
        packet = AnchorPacket.unpack(data)
        assert packet.pack() == data
        chain, index, *_ = packet.picture
        return {"time_ms": packet.time_ms, "chain": chain, "index": index, "unit": packet.picture[2:].hex()}

    def kept_name(self, rows: bytes, side: int, codec_id: str) -> str:
        return kept_name(np.frombuffer(rows, np.uint8).reshape(side, side, 3), codec_id).hex()

    def kept_marks(self, salt: bytes, names: list[str]) -> str:
        return kept_marks(salt, map(bytes.fromhex, names)).hex()

    def feedback(self, data: bytes) -> dict[str, int]:
        return dataclasses.asdict(MotionFeedback.unpack(data))

    def akc(self, data: bytes) -> tuple[dict[str, Any], list[Any], list[Any]]:
        file = read_akc(data)
        header = {name: getattr(file.header, name) for name in VECTORS["akc"]["header"]}
        records = [
            self.reference_packet(record.pack())
            if isinstance(record, ReferencePacket)
            else (record.pts_ticks, record.message.pack())
            for record in file.records
        ]
        assert file.audio is not None
        audio = [(packet.pts, packet.duration, packet.data.hex()) for packet in file.audio.packets]
        return header | {"frame_rate": list(file.header.frame_rate)}, records, audio


class Independent:
    """The decoder that was written from the document."""

    refused: type[Exception] = independent.Refused
    base_not_held: type[Exception] = independent.BaseNotHeld

    def __init__(self) -> None:
        self._decoder = IndependentDecoder((FOLDER / VECTORS["tables"]).read_bytes())
        self.reference = self._decoder.reference
        self.message = self._decoder.message

    def vector(self, frame: independent.Frame) -> Vector:
        return frame.parameters

    def reference_packet(self, data: bytes) -> dict[str, Any]:
        return independent_packets.read_reference_packet(data)

    def anchor_packet(self, data: bytes) -> dict[str, Any]:
        return independent_packets.read_anchor_packet(data)

    def kept_name(self, rows: bytes, side: int, codec_id: str) -> str:
        return independent_packets.name_of_picture(rows, side, codec_id)

    def kept_marks(self, salt: bytes, names: list[str]) -> str:
        return independent_packets.marks_of_names(salt, names)

    def feedback(self, data: bytes) -> dict[str, int]:
        return independent_packets.read_feedback(data)

    def akc(self, data: bytes) -> tuple[dict[str, Any], list[Any], list[Any]]:
        file = independent_packets.read_akc(data)
        return file.header, list(file.records), list(file.audio)


@pytest.fixture(scope="module", params=[Product, Independent], ids=["product", "independent"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    made: Decoder = request.param()
    return made


def _references(decoder: Decoder) -> dict[str, Vector]:
    """Decoded parameters of the vectors' references by name."""
    decoded: dict[str, Vector] = {}
    for case in VECTORS["references"]:
        base = None if case["base"] is None else decoded[case["base"]]
        decoded[case["name"]] = decoder.reference(bytes.fromhex(case["coded"]), base)
    return decoded


def _check_frames(decoder: Decoder, frames: list[Any], expected: list[dict[str, Any]]) -> None:
    assert len(frames) == len(expected)
    for frame, fields in zip(frames, expected, strict=True):
        for name in ("sequence", "time_ms", "slot", "generation", "quality"):
            assert getattr(frame, name) == fields[name]
        assert list(frame.coefficients) == fields["coefficients"]
        np.testing.assert_allclose(decoder.vector(frame), fields["parameters"], rtol=0, atol=TOLERANCE)


def test_the_independent_decoder_shares_no_code_with_the_product() -> None:
    sources = [Path(str(module.__file__)).read_text() for module in (independent, independent_packets)]
    imported = {
        name.split(".")[0] if name != independent.__name__ else "itself"
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    allowed = {"__future__", "collections", "dataclasses", "hashlib", "math", "struct", "typing", "zlib"}
    assert imported <= allowed | {"itself", "msgpack", "numpy", "safetensors"}


def test_the_vectors_are_of_this_version() -> None:
    assert VECTORS["bitstream_version"] == BITSTREAM_VERSION


def test_reference_parameters(decoder: Decoder) -> None:
    for name, vector in _references(decoder).items():
        (case,) = (case for case in VECTORS["references"] if case["name"] == name)
        np.testing.assert_allclose(vector, case["parameters"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda stream: stream["name"])
def test_motion(decoder: Decoder, stream: dict[str, Any]) -> None:
    references = _references(decoder)
    held: dict[int, Any] = {}
    for case in stream["messages"]:
        frames = decoder.message(bytes.fromhex(case["message"]), references[case["reference"]], held)
        _check_frames(decoder, frames, case["frames"])
        held |= {frame.sequence: frame for frame in frames if not frame.repeat}


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["reason"])
def test_what_is_no_message_is_refused(decoder: Decoder, case: dict[str, str]) -> None:
    error = decoder.base_not_held if case["reason"] == "its base is not held" else decoder.refused
    with pytest.raises(error):
        decoder.message(bytes.fromhex(case["message"]), _references(decoder)["plain"], {})


def test_every_truncation_decodes_alike_or_is_refused_by_both() -> None:
    """Cut bodies may decode to other frames: then to the same ones in both decoders."""
    product, other = Product(), Independent()
    reference = _references(product)["plain"]
    whole = [bytes.fromhex(stream["messages"][0]["message"]) for stream in VECTORS["streams"][::5]]
    cut = [message[:length] for message in whole for length in range(len(message))]
    outcomes = [_both(product, other, message, reference) for message in cut]
    assert any(outcomes)
    assert not all(outcomes)


def test_noise_decodes_alike_or_is_refused_by_both() -> None:
    product, other = Product(), Independent()
    reference = _references(product)["plain"]
    rng = np.random.default_rng(1)
    bodies = [rng.bytes(int(rng.integers(0, 40))) for _ in range(1500)]
    outcomes = [_both(product, other, bytes(4) + body, reference) for body in bodies]
    assert outcomes.count(True) > 20
    assert outcomes.count(False) > 20


def test_noise_on_bases_decodes_alike_or_is_refused_by_both() -> None:
    """Whatever base it names is held: heads of up to eight frames, orders of prediction, repeats."""
    product, other = Product(), Independent()
    reference = _references(product)["plain"]
    first = bytes.fromhex(_stream("one frame against the reference alone, quality 4")[0]["message"])
    (one,), (two,) = product.message(first, reference, {}), other.message(first, reference, {})
    ours = {number: dataclasses.replace(one, sequence=number) for number in range(256)}
    others = {number: dataclasses.replace(two, sequence=number) for number in range(256)}
    rng = np.random.default_rng(2)
    counts: Counter[int] = Counter()
    for _ in range(1500):
        data = bytes(4) + rng.bytes(int(rng.integers(1, 60)))
        frames = _frames_or_none(product, lambda data=data: product.message(data, reference, ours))  # type: ignore[misc]
        seconds = _frames_or_none(other, lambda data=data: other.message(data, reference, others))  # type: ignore[misc]
        _check_alike(product, other, frames, seconds, data)
        counts[len(frames or ())] += 1
    assert sorted(counts) == list(range(9)), "messages of one to eight frames, and refused ones"


def _stream(start: str) -> list[dict[str, Any]]:
    """The messages of the first stream whose name begins so."""
    messages: list[dict[str, Any]] = next(
        stream["messages"] for stream in VECTORS["streams"] if stream["name"].startswith(start)
    )
    return messages


def test_a_repeat_is_no_base(decoder: Decoder) -> None:
    """A decoder that has a frame as a repeat alone says that the base is missing, and does not decode against it."""
    reference = _references(decoder)["plain"]
    first, on_first = (bytes.fromhex(case["message"]) for case in _stream("each message on the newest")[:2])
    (frame,) = decoder.message(first, reference, {})
    assert decoder.message(on_first, reference, {0: frame})
    repeat, _ = decoder.message(bytes.fromhex(_stream("repeats")[1]["message"]), reference, {})
    assert (repeat.sequence, repeat.repeat) == (0, True)
    with pytest.raises(decoder.base_not_held):
        decoder.message(on_first, reference, {0: repeat})


def _both(product: Product, other: Independent, data: bytes, reference: Vector) -> bool:
    """Whether both decode the message, to equal frames."""
    frames = _frames_or_none(product, lambda: product.message(data, reference, {}))
    others = _frames_or_none(other, lambda: other.message(data, reference, {}))
    _check_alike(product, other, frames, others, data)
    return frames is not None


def _check_alike(
    product: Product, other: Independent, frames: list[Any] | None, others: list[Any] | None, data: bytes
) -> None:
    assert (frames is None) == (others is None), data.hex()
    if frames is None or others is None:
        return
    for one, two in zip(frames, others, strict=True):
        assert (one.sequence, one.time_ms, one.quality) == (two.sequence, two.time_ms, two.quality)
        assert tuple(one.coefficients) == tuple(two.coefficients)
        np.testing.assert_allclose(product.vector(one), other.vector(two), rtol=0, atol=TOLERANCE)


def _frames_or_none(decoder: Decoder, decode: Callable[[], list[Any]]) -> list[Any] | None:
    try:
        return decode()
    except decoder.refused:
        return None


@pytest.mark.parametrize("case", VECTORS["reference_packets"], ids=lambda case: f"slot {case['fields']['slot']}")
def test_reference_packets(decoder: Decoder, case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["packet"])
    assert decoder.reference_packet(data) == case["fields"]
    for at in range(0, len(data), 7):
        damaged = data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :]
        with pytest.raises(decoder.refused):
            decoder.reference_packet(damaged)


def test_names_and_marks_of_kept_pictures(decoder: Decoder) -> None:
    expected = VECTORS["kept_pictures"]
    names = [
        decoder.kept_name(bytes.fromhex(case["pixels"]), case["side"], expected["codec_id"])
        for case in expected["pictures"]
    ]
    assert names == [case["picture_name"] for case in expected["pictures"]]
    assert decoder.kept_marks(bytes.fromhex(expected["salt"]), names) == expected["marks"]


@pytest.mark.parametrize("case", VECTORS["anchor_packets"], ids=lambda case: f"time {case['fields']['time_ms']}")
def test_anchor_packets(decoder: Decoder, case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["packet"])
    assert decoder.anchor_packet(data) == case["fields"]
    for wrong in (b"", data[:5], b"A" + data[1:], data + bytes(262_145)):
        with pytest.raises(decoder.refused):
            decoder.anchor_packet(wrong)


@pytest.mark.parametrize("case", VECTORS["feedback"], ids=lambda case: f"sequence {case['fields']['sequence']}")
def test_feedback(decoder: Decoder, case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["feedback"])
    assert decoder.feedback(data) == case["fields"]
    for wrong in (data[:-1], data + b"\0"):
        with pytest.raises(decoder.refused):
            decoder.feedback(wrong)
    feedback = MotionFeedback(**case["fields"])
    assert list(feedback.sequences()) == case["sequences"]
    assert feedback.pack() == data


def test_file(decoder: Decoder) -> None:
    expected = VECTORS["akc"]
    header, records, audio = decoder.akc((FOLDER / expected["file"]).read_bytes())
    assert header == expected["header"]
    assert [list(packet) for packet in audio] == expected["audio"]
    references: dict[int, Vector] = {}
    held: dict[int, Any] = {}
    messages = iter(expected["messages"])
    for record in records:
        if isinstance(record, dict):
            assert record["base"] is None
            references[record["slot"]] = decoder.reference(bytes.fromhex(record["parameters"]), None)
            continue
        case = next(messages)
        times, message = record
        assert list(times) == case["pts_ticks"]
        frames = decoder.message(message, references[message[0] >> 4], held)
        _check_frames(decoder, frames, case["frames"])
        held |= {frame.sequence: frame for frame in frames}
    assert next(messages, None) is None


def test_every_truncation_and_changed_bit_of_a_file_is_found(decoder: Decoder) -> None:
    data = (FOLDER / VECTORS["akc"]["file"]).read_bytes()
    for length in range(0, len(data), 3):
        with pytest.raises(ValueError):  # noqa: PT011  (each decoder's own)
            decoder.akc(data[:length])
    for at in range(0, len(data), 5):
        with pytest.raises(ValueError):  # noqa: PT011
            decoder.akc(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
