"""What lies beside an engine file: it comes back as it was, and nothing else passes for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adasr_core.engines import EngineError
from adasr_core.engines.tensorrt_metadata import EngineMetadata, Gpu, TensorSpec

METADATA = EngineMetadata(
    part="frame",
    batch=8,
    precision="fp16",
    gpu=Gpu(name="NVIDIA H200", architecture="sm90"),
    tensorrt="11.4.0.106",
    model="base",
    model_version="1.0",
    codec_id="0" * 16,
    sources={"motion": "a" * 64, "generator": "b" * 64},
    fused_version=1,
    onnx_sha256="c" * 64,
    engine_sha256="d" * 64,
    engine_bytes=123,
    inputs={"picture": TensorSpec(dtype="float32", shape=(8, 3, 512, 512))},
    outputs={"frame": TensorSpec(dtype="uint8", shape=(8, 512, 512, 3))},
)


def test_round_trip() -> None:
    assert EngineMetadata.from_json(METADATA.to_json()) == METADATA
    assert METADATA.stem == "frame-b8-sm90-trt11.4.0.106-fp16-cccccccccccc"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "its format is not"),
        ({"format_version": 2}, "format_version: got 2, expected 1"),
        ({"part": "decoder"}, "part: got 'decoder'"),
        ({"batch": 0}, "batch: got 0"),
        ({"batch": "8"}, "wrong type"),
        ({"sources": {"motion": "a" * 64}}, r"sources: got \['motion'\]"),
        ({"onnx_sha256": "xyz"}, "onnx_sha256: got 'xyz'"),
        ({"gpu": {"name": "x"}}, "wrong type"),
        ({"inputs": {"picture": {"shape": [1]}}}, "wrong type"),
        ({"inputs": {}}, "inputs: got 0"),
        ({"surprise": 1}, "keys: got"),
    ],
)
def test_everything_else_is_refused(change: dict[str, Any], message: str) -> None:
    content = json.loads(METADATA.to_json()) | change
    with pytest.raises(EngineError, match=message) as raised:
        EngineMetadata.from_json(json.dumps(content))
    assert "build the engine again" in str(raised.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_no_metadata_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="build the engine again"):
        EngineMetadata.from_json(text)


def test_a_part_has_its_own_sources() -> None:
    with pytest.raises(EngineError, match=r"sources: got \['generator', 'motion'\], expected \['encoder'\]"):
        replace(METADATA, part="encoder")
