"""Adapters: small weight differences that fit a decoder to one person.

A person makes one from a minute of video (`adasr train personalise`); whoever decodes that person adds it to the
decoder's weights. The detector and the tables stay, so the bitstream and the codec id stay.

::

    NAME.adapter = safetensors, at most 1 MiB
        metadata   "adasr-adapter": JSON of format_version, model, codec_id, base_sha256, person, steps, gain_db,
                   face_gain_db
        tensors    <weight>.half           float16, as the weight             difference of a bias
                   <weight>.bytes, .scale  int8 as the weight, float32 [O]    difference = bytes * scale, by channel
                   <weight>.up, .down      float16 [O, R], float16 [R, N / O] difference = up @ down (LoRA, Hu et al.
                                                                              2021, eq. 3)

`<weight>` is a weight's name in the networks, such as ``generator.grow.weight``; O is its first size, N its number of
values. The file comes from a peer: everything is bounded before it is used.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from adasr_core.bundle import ModelBundle
from adasr_core.weight_difference import Difference, parse_difference

ADAPTER_FORMAT = "adasr-adapter"
ADAPTER_VERSION = 1
MAX_ADAPTER_BYTES = 1024 * 1024
ADAPTER_SUFFIX = ".adapter"

AdaptedPart = Literal["encoder", "motion", "generator"]
ADAPTED_PARTS: tuple[AdaptedPart, ...] = get_args(AdaptedPart)

Array = npt.NDArray[np.float32]

_MAX_WEIGHTS = 512
_MAX_PERSON_CHARACTERS = 64
_MAX_STEPS = 10_000_000
_WEIGHT = re.compile(rf"({'|'.join(ADAPTED_PARTS)})(\.[a-z0-9_]{{1,32}}){{1,8}}")
_CODEC_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AdapterError(ValueError):
    """The adapter is damaged, too large, or made for another model. The message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapter:
    """What one adapter file says.

    model, codec_id, base_sha256: of the model that it was made for (`base_sha256_of`). differences: by weight name.
    person: a label, may be empty. steps: optimiser steps of the training. gain_db, face_gain_db: PSNR gained on frames
    that were held out, whole and face.

    The constructor checks every field and raises AdapterError.
    """

    model: str
    codec_id: str
    base_sha256: str
    differences: Mapping[str, Difference]
    person: str = ""
    steps: int = 0
    gain_db: float = 0.0
    face_gain_db: float = 0.0

    def __post_init__(self) -> None:
        """Check every field. Raises AdapterError that names it."""
        _expect("model", self.model, "a short plain name", _MODEL.fullmatch(self.model) is not None)
        _expect("codec_id", self.codec_id, "16 hex digits", _CODEC_ID.fullmatch(self.codec_id) is not None)
        _expect("base_sha256", self.base_sha256, "64 hex digits", _SHA256.fullmatch(self.base_sha256) is not None)
        plain = len(self.person) <= _MAX_PERSON_CHARACTERS and (self.person.isprintable() or not self.person)
        _expect("person", self.person, f"at most {_MAX_PERSON_CHARACTERS} printable characters", plain)
        _expect("steps", self.steps, f"0..{_MAX_STEPS}", 0 <= self.steps <= _MAX_STEPS)
        for name in ("gain_db", "face_gain_db"):
            value = getattr(self, name)
            _expect(name, value, "-100..100", math.isfinite(value) and abs(value) <= 100)
        count = len(self.differences)
        _expect("weights", count, f"1..{_MAX_WEIGHTS}", 1 <= count <= _MAX_WEIGHTS)
        for name in self.differences:
            _expect("weight", name, f"a weight of {', '.join(ADAPTED_PARTS)}", _WEIGHT.fullmatch(name) is not None)

    @property
    def sha256(self) -> str:
        """64 hex digits over the file's content."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The file's content.

        Raises:
            AdapterError: it would be above 1 MiB.
        """
        tensors = {
            f"{name}.{suffix}": np.ascontiguousarray(array)
            for name, difference in sorted(self.differences.items())
            for suffix, array in difference.tensors().items()
        }
        values = {
            "format_version": ADAPTER_VERSION,
            "model": self.model,
            "codec_id": self.codec_id,
            "base_sha256": self.base_sha256,
            "person": self.person,
            "steps": self.steps,
            "gain_db": round(self.gain_db, 4),
            "face_gain_db": round(self.face_gain_db, 4),
        }
        # One key: safetensors writes several in any order, and equal adapters must have equal hashes.
        data: bytes = save_safetensors(tensors, {ADAPTER_FORMAT: json.dumps(values, allow_nan=False)})
        _expect("size", len(data), f"at most {MAX_ADAPTER_BYTES} bytes", len(data) <= MAX_ADAPTER_BYTES)
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Adapter:
        """Inverse of `to_bytes`.

        Raises:
            AdapterError: no adapter, a damaged one, or one above 1 MiB.
        """
        _expect("size", len(data), f"at most {MAX_ADAPTER_BYTES} bytes", len(data) <= MAX_ADAPTER_BYTES)
        try:
            arrays: dict[str, npt.NDArray[Any]] = load_safetensors(data)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise AdapterError(f"adapter: not a safetensors file ({error}); ask for the adapter again") from error
        values = _metadata(data)
        version = values.pop("format_version", None)
        if version != ADAPTER_VERSION:
            raise AdapterError(f"adapter format_version: got {version!r}, expected {ADAPTER_VERSION}; update adasr")
        types = {"model": str, "codec_id": str, "base_sha256": str, "person": str, "steps": int}
        types |= {"gain_db": float, "face_gain_db": float}
        _expect("metadata", sorted(values), f"{sorted(types)}", set(values) == set(types))
        for name, expected in types.items():
            value = values[name]
            fits = isinstance(value, (int, float) if expected is float else expected) and not isinstance(value, bool)
            _expect(name, value, expected.__name__, fits)
        return cls(differences=_differences(arrays), **values)

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Read and check a file.

        Raises:
            AdapterError: no adapter, a damaged one, or one above 1 MiB.
            OSError: the file cannot be read.
        """
        try:
            with path.open("rb") as file:
                return cls.from_bytes(file.read(MAX_ADAPTER_BYTES + 1))
        except AdapterError as error:
            raise AdapterError(f"{path}: {error}") from error

    def check_model(self, bundle: ModelBundle) -> None:
        """Check that the adapter was made for this very model.

        Raises:
            AdapterError: it was made for another one; the message names both.
        """
        manifest = bundle.manifest
        if self.codec_id != manifest.codec_id:
            raise AdapterError(
                f"adapter: made for model {self.model!r} (codec id {self.codec_id}), but the model here is "
                f"{manifest.name!r} (codec id {manifest.codec_id}): give the right one with --model, or "
                "personalise again"
            )
        base = base_sha256_of(bundle)
        if self.base_sha256 != base:
            raise AdapterError(
                f"adapter: made for the decoder of model {self.model!r} (sha256 {self.base_sha256[:16]}...), but that "
                f"of {manifest.name!r} here is {base[:16]}...: give the right one with --model, or personalise again"
            )

    def merge(self, part: AdaptedPart, weights: Mapping[str, Array]) -> dict[str, Array]:
        """The changed weights of one graph: its own by initializer name plus the differences.

        Raises:
            AdapterError: a difference is for a weight that the graph does not have, or for another shape.
        """
        changed: dict[str, Array] = {}
        for name, difference in self.differences.items():
            if name.partition(".")[0] != part:
                continue
            initializer = initializer_name(name)
            if initializer not in weights:
                raise AdapterError(f"adapter weight {name!r}: the model has none of this name; personalise again")
            base = weights[initializer]
            try:
                changed[initializer] = base + difference.expand(base.shape)
            except ValueError as error:
                raise AdapterError(f"adapter weight {name!r}: {error}; personalise again") from error
        return changed


def initializer_name(weight: str) -> str:
    """A weight's name inside its exported graph. The encoder's graph is exported bare: its names lack the part's."""
    return weight.removeprefix("encoder.")


def base_sha256_of(bundle: ModelBundle) -> str:
    """What an adapter is bound to: sha256 over the digests of the encoder, motion and generator graphs."""
    digest = hashlib.sha256()
    for part in ADAPTED_PARTS:
        digest.update(bytes.fromhex(bundle.manifest.files[part].sha256))
    return digest.hexdigest()


def open_adapter(path: Path | None, bundle: ModelBundle) -> Adapter | None:
    """Read an adapter for a model; None stays None.

    Raises:
        AdapterError: no adapter, a damaged one, or one of another model.
        OSError: the file cannot be read.
    """
    if path is None:
        return None
    adapter = Adapter.load(path)
    try:
        adapter.check_model(bundle)
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from error
    return adapter


def _metadata(data: bytes) -> dict[str, Any]:
    """What the header of a safetensors file that was parsed already says: u64 length, then JSON."""
    (length,) = struct.unpack_from("<Q", data)
    try:
        text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(ADAPTER_FORMAT)
        values = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"adapter metadata: not JSON ({error}); ask for the adapter again") from error
    if not isinstance(values, dict):
        raise AdapterError(f"adapter: its metadata lacks {ADAPTER_FORMAT!r}; give a file of adasr train personalise")
    return values


def _differences(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Difference]:
    """Join the tensors of a file to differences by weight name."""
    _expect("tensors", len(arrays), f"at most {2 * _MAX_WEIGHTS}", len(arrays) <= 2 * _MAX_WEIGHTS)
    grouped: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for key, array in arrays.items():
        name, _, suffix = key.rpartition(".")
        grouped.setdefault(name, {})[suffix] = array
    differences: dict[str, Difference] = {}
    for name, tensors in grouped.items():
        try:
            differences[name] = parse_difference(tensors)
        except ValueError as error:
            raise AdapterError(f"adapter weight {name[:80]!r}: {error}; ask for the adapter again") from error
    return differences


def _expect(name: str, got: object, expected: str, condition: bool) -> None:
    if not condition:
        raise AdapterError(f"adapter {name}: got {got!r:.100}, expected {expected}; ask for the adapter again")
