import dataclasses
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as save_safetensors

from adasr_core.adapter import MAX_ADAPTER_BYTES, Adapter, AdapterError, base_sha256_of, open_adapter
from adasr_core.bundle import open_bundle
from adasr_core.weight_difference import ByteDifference, HalfDifference, LowRankDifference
from tests.adapters import ADAPTED, base_weights, random_adapter

BUNDLE = open_bundle("edge")
METADATA: dict[str, object] = {
    "format_version": 1,
    "model": "edge",
    "codec_id": BUNDLE.codec_id,
    "base_sha256": base_sha256_of(BUNDLE),
    "person": "",
    "steps": 1,
    "gain_db": 0.1,
    "face_gain_db": 0,
}
BIAS = {"generator.grow.bias.half": np.zeros(96, np.float16)}


def file_of(tensors: dict[str, npt.NDArray[Any]], **metadata: object) -> bytes:
    data: bytes = save_safetensors(tensors, {"adasr-adapter": json.dumps(METADATA | metadata)})
    return data


def test_a_file_comes_back_as_it_went(tmp_path: Path) -> None:
    adapter = random_adapter(BUNDLE)
    path = tmp_path / "me.adapter"
    path.write_bytes(adapter.to_bytes())
    found = open_adapter(path, BUNDLE)
    assert found is not None
    assert found.sha256 == adapter.sha256
    for field in ("model", "codec_id", "base_sha256", "person", "steps", "gain_db", "face_gain_db"):
        assert getattr(found, field) == getattr(adapter, field)
    assert set(found.differences) == set(ADAPTED)
    for name, base in base_weights(BUNDLE).items():
        expected = adapter.differences[name].expand(base.shape)
        np.testing.assert_array_equal(found.differences[name].expand(base.shape), expected)
        assert np.abs(expected).max() > 0


def test_no_file_is_no_adapter() -> None:
    assert open_adapter(None, BUNDLE) is None


def test_merging_adds_the_differences_of_one_graph() -> None:
    adapter = random_adapter(BUNDLE)
    base = base_weights(BUNDLE)
    weights = {name: value for name, value in base.items() if name.startswith("generator.")}
    merged = adapter.merge("generator", weights)
    assert set(merged) == set(weights)
    for name, value in merged.items():
        np.testing.assert_allclose(value - base[name], adapter.differences[name].expand(value.shape), atol=1e-6)


def test_bytes_are_within_half_a_step() -> None:
    difference = np.random.default_rng(0).normal(0, 0.01, (6, 5, 3, 3)).astype(np.float32)
    difference[2] = 0
    coded = ByteDifference.quantize(difference)
    error = np.abs(coded.expand(difference.shape) - difference).reshape(6, -1).max(axis=1)
    assert (error <= coded.scale * 0.5001).all()
    assert coded.scale[2] == 0


def test_low_rank_is_the_product() -> None:
    up, down = np.array([[1.0], [2.0]], np.float16), np.array([[3.0, 0.5, 1.0, 0.0]], np.float16)
    expanded = LowRankDifference(up, down).expand((2, 1, 2, 2))
    np.testing.assert_array_equal(expanded.reshape(2, 4), [[3, 0.5, 1, 0], [6, 1, 2, 0]])


def test_another_model_is_named() -> None:
    adapter = dataclasses.replace(random_adapter(BUNDLE), model="base", codec_id="0123456789abcdef")
    with pytest.raises(AdapterError, match=r"'base' \(codec id 0123456789abcdef\).*'edge'.*--model"):
        adapter.check_model(BUNDLE)
    adapter = dataclasses.replace(random_adapter(BUNDLE), base_sha256="0" * 64)
    with pytest.raises(AdapterError, match=r"decoder of model 'edge' \(sha256 0000.*personalise again"):
        adapter.check_model(BUNDLE)


def test_a_weight_that_the_graph_lacks_or_of_another_shape_is_named() -> None:
    half = HalfDifference(np.zeros(3, np.float16))
    missing = dataclasses.replace(random_adapter(BUNDLE), differences={"motion.nothing.bias": half})
    with pytest.raises(AdapterError, match=r"'motion.nothing.bias': the model has none"):
        missing.merge("motion", {"motion.head.bias": np.zeros(44, np.float32)})
    misshapen = dataclasses.replace(random_adapter(BUNDLE), differences={"motion.head.bias": half})
    with pytest.raises(AdapterError, match=r"got shape \(3,\), expected \(44,\)"):
        misshapen.merge("motion", {"motion.head.bias": np.zeros(44, np.float32)})


def test_a_product_that_would_be_vast_is_never_made() -> None:
    vast = LowRankDifference(np.zeros((200_000, 1), np.float16), np.zeros((1, 200_000), np.float16))
    adapter = dataclasses.replace(random_adapter(BUNDLE), differences={"motion.head.weight": vast})
    adapter = Adapter.from_bytes(adapter.to_bytes())
    with pytest.raises(AdapterError, match="expected"):
        adapter.merge("motion", {"motion.head.weight": np.zeros((44, 32, 1, 1), np.float32)})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"detector.heat.bias.half": np.zeros(40, np.float16)}, "a weight of encoder, motion, generator"),
        ({"generator.grow.bias.half": np.zeros(96, np.float32)}, "half: got float32"),
        ({"generator.grow.bias.half": np.full(96, np.inf, np.float16)}, "not finite"),
        ({"generator.grow.bias.half": np.full(96, np.nan, np.float16)}, "not finite"),
        ({"generator.grow.bias.half": np.full(96, 1000, np.float16)}, "may exceed"),
        ({"generator.grow.bias.other": np.zeros(96, np.float16)}, "got tensors \\['other'\\]"),
        ({"generator.grow.weight.bytes": np.zeros((9, 4), np.int8)}, "got tensors \\['bytes'\\]"),
        (
            {
                "generator.grow.weight.bytes": np.ones((9, 4), np.int8),
                "generator.grow.weight.scale": np.full(9, -1, np.float32),
            },
            "scale: got a negative",
        ),
        (
            {
                "generator.grow.weight.bytes": np.ones((9, 4), np.int8),
                "generator.grow.weight.scale": np.ones(8, np.float32),
            },
            r"scale: got float32 \(8,\)",
        ),
        (
            {
                "generator.grow.weight.up": np.ones((9, 4), np.float16),
                "generator.grow.weight.down": np.ones((3, 8), np.float16),
            },
            r"down: got float16 \(3, 8\)",
        ),
        ({"generator.grow.bias.half": np.zeros((0,), np.float16)}, r"half: got float16 \(0,\)"),
        ({}, "weights: got 0"),
    ],
)
def test_tensors_that_are_not_what_they_should_be(tensors: dict[str, npt.NDArray[Any]], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        Adapter.from_bytes(file_of(tensors))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format_version": 2}, "format_version: got 2, expected 1; update adasr"),
        ({"codec_id": "xyz"}, "codec_id"),
        ({"base_sha256": "0" * 63}, "base_sha256"),
        ({"model": "../../etc"}, "model"),
        ({"person": "x" * 65}, "person"),
        ({"person": "a\x1b[2J"}, "person"),
        ({"person": 3}, "person: got 3, expected str"),
        ({"steps": 1.5}, "steps: got 1.5, expected int"),
        ({"steps": True}, "steps: got True, expected int"),
        ({"steps": -1}, "steps"),
        ({"gain_db": float("nan")}, "gain_db"),
        ({"extra": 1}, "metadata"),
    ],
)
def test_metadata_that_is_not_what_it_should_be(metadata: dict[str, object], message: str) -> None:
    assert Adapter.from_bytes(file_of(BIAS)).model == "edge"
    with pytest.raises(AdapterError, match=message):
        Adapter.from_bytes(file_of(BIAS, **metadata))


def test_too_large_a_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "large.adapter"
    path.write_bytes(bytes(MAX_ADAPTER_BYTES + 1))
    with pytest.raises(AdapterError, match=r"large.adapter: adapter size: got 1048577, expected at most 1048576"):
        open_adapter(path, BUNDLE)
    noise = np.random.default_rng(0).integers(-127, 127, (1100, 1000)).astype(np.int8)
    large = ByteDifference(noise, np.ones(1100, np.float32) * 1e-3)
    with pytest.raises(AdapterError, match="size"):
        dataclasses.replace(random_adapter(BUNDLE), differences={"generator.grow.weight": large}).to_bytes()


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_adapter(tmp_path / "none.adapter", BUNDLE)


def _truncate(data: bytes, at: int) -> bytes:
    return data[: at % len(data)]


def _flip(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


@settings(max_examples=200, deadline=None)
@given(change=st.sampled_from([_truncate, _flip]), at=st.integers(0, 5000))
def test_damaged_bytes_parse_or_raise_adapter_error(change: Callable[[bytes, int], bytes], at: int) -> None:
    with suppress(AdapterError):
        # A flipped bit may still spell a name or a number that is allowed.
        (difference,) = Adapter.from_bytes(change(file_of(BIAS), at)).differences.values()
        assert np.isfinite(difference.expand((96,))).all()


@settings(max_examples=100, deadline=None)
@given(header=st.binary(max_size=200), body=st.binary(max_size=200))
def test_any_bytes_parse_or_raise_adapter_error(header: bytes, body: bytes) -> None:
    for data in (header, struct.pack("<Q", len(header)) + header + body, struct.pack("<Q", 2**60) + body):
        with pytest.raises(AdapterError):
            Adapter.from_bytes(data)


@pytest.mark.parametrize("text", [None, "[1]", "{", "[" * 5000])
def test_a_header_without_its_metadata_is_refused(text: str | None) -> None:
    with pytest.raises(AdapterError, match="metadata"):
        Adapter.from_bytes(save_safetensors(BIAS, None if text is None else {"adasr-adapter": text}))
