"""The model's tables: validation, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adasr_core.bitstream.tables import MotionTables

Build = Callable[[int], MotionTables]


def _equal(a: MotionTables, b: MotionTables) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(MotionTables))


def test_sizes(synthetic_tables: Build) -> None:
    tables = synthetic_tables(40)
    assert (tables.keypoints, tables.components, tables.radius, tables.reference_radius) == (40, 40, 31, 63)


def test_file_round_trip_and_stable_bytes(synthetic_tables: Build, tmp_path: Path) -> None:
    tables = synthetic_tables(10)
    tables.save(tmp_path / "a.safetensors")
    again = MotionTables.load(tmp_path / "a.safetensors")
    assert _equal(tables, again)
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def _bad_row(frequencies: Any) -> Any:
    changed = frequencies.copy()
    changed[..., 0] += 1
    return changed


def _zero_frequency(frequencies: Any) -> Any:
    changed = frequencies.copy()
    changed[..., 3] += changed[..., 0]
    changed[..., 0] = 0
    return changed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("basis", lambda a: a[:, :-1]),
        ("basis", lambda a: a[0]),
        ("basis", lambda a: np.zeros((65, 6 * 20), dtype=np.float32)),
        ("synthesis", lambda a: a.T),
        ("synthesis", lambda a: a.astype(np.float64)),
        ("basis", lambda a: a * np.float32(np.nan)),
        ("steps", lambda a: a * 0),
        ("steps", lambda a: a * np.float32(1e9)),
        ("steps", lambda a: a[1:]),
        ("frequencies", _bad_row),
        ("frequencies", _zero_frequency),
        ("frequencies", lambda a: a[:0]),
        ("frequencies", lambda a: a[0]),
        ("frequencies", lambda a: np.repeat(a, 3, axis=0)),
        ("frequencies", lambda a: a.astype(np.int64)),
        ("frequencies", lambda a: a[..., :-1]),
        ("scales", lambda a: a[:-1]),
        ("scales", lambda a: a[:, :-1]),
        ("scales", lambda a: a.astype(np.int64)),
        ("activity_offsets", lambda a: a[:0]),
        ("activity_offsets", lambda a: np.zeros(33, np.int8)),
        ("activity_offsets", lambda a: a[None]),
        ("activity_offsets", lambda a: a.astype(np.int16)),
        ("activity_frequencies", _bad_row),
        ("activity_frequencies", _zero_frequency),
        ("activity_frequencies", lambda a: a[:-1]),
        ("activity_frequencies", lambda a: a[:, :-1]),
        ("activity_frequencies", lambda a: a.astype(np.int64)),
        ("reference_mean", lambda a: a + np.float32(1e6)),
        ("reference_steps", lambda a: -a),
        ("reference_frequencies", _bad_row),
        ("reference_frequencies", lambda a: a[0]),
    ],
)
def test_each_wrong_array_is_named(synthetic_tables: Build, name: str, change: Callable[[Any], Any]) -> None:
    tables = synthetic_tables(10)
    changed: dict[str, Any] = {name: change(getattr(tables, name))}
    with pytest.raises(ValueError, match=name):
        replace(tables, **changed)


def test_every_truncation_of_a_file_start(synthetic_tables: Build, tmp_path: Path) -> None:
    path = tmp_path / "tables.safetensors"
    synthetic_tables(2).save(path)
    data = path.read_bytes()
    header_bytes = 8 + int.from_bytes(data[:8], "little")
    for length in [*range(header_bytes + 20), *range(header_bytes, len(data), 1999), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="tables"):
            MotionTables.load(path)


@given(st.binary(max_size=200))
def test_file_fuzz(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.safetensors"
    path.write_bytes(noise)
    with pytest.raises(ValueError, match="tables"):
        MotionTables.load(path)


def test_missing_and_unknown_arrays(synthetic_tables: Build, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {field.name: getattr(synthetic_tables(2), field.name) for field in fields(MotionTables)}
    save_file({name: array for name, array in arrays.items() if name != "steps"}, tmp_path / "missing")
    save_file({**arrays, "extra": arrays["steps"]}, tmp_path / "unknown")
    for name in ("missing", "unknown"):
        with pytest.raises(ValueError, match="got arrays"):
            MotionTables.load(tmp_path / name)


def test_oversized_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(ValueError, match="at most"):
        MotionTables.load(path)
