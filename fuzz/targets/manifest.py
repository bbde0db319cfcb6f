"""Manifests of model folders: JSON from a download."""

from __future__ import annotations

from dataclasses import replace

from adasr_core.bundle import GRAPHS, MODEL_PARTS, BundleError, ModelFile, ModelManifest, Shape, codec_id_of
from fuzz.target import Target


def build() -> Target:
    """What parses writes text that parses to the same."""
    shapes: dict[str, dict[str, Shape]] = {graph: {"image": (1, 3, "height", 64)} for graph in GRAPHS}
    manifest = ModelManifest(
        name="edge",
        version="0.2.0",
        architecture={"keypoints": 40},
        keypoints=40,
        frame_px=512,
        detector_px=256,
        opset=18,
        files={part: ModelFile(path=f"{part}.bin", sha256="0" * 64, bytes=7) for part in MODEL_PARTS},
        inputs=shapes,
        outputs=shapes,
        codec_id=codec_id_of("0" * 64, "0" * 64),
        training={"steps": 3},
        quality={"psnr": 28.5},
        licence="Apache-2.0",
    )
    refined = replace(
        manifest,
        files={**manifest.files, "refiner": ModelFile(path="refiner.bin", sha256="0" * 64, bytes=7)},
        inputs={**shapes, "refiner": {"weight": (1, 1, 1, 1)}},
        outputs={**shapes, "refiner": {"frame": (1, 3, 64, 64)}},
    )
    seeds = tuple(one.to_json().encode() for one in (manifest, refined))
    return Target(check=_check, errors=(BundleError,), seeds=seeds, max_bytes=8192)


def _check(data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BundleError("manifest: not UTF-8") from error  # `open_bundle` reads the file as UTF-8
    manifest = ModelManifest.from_json(text)
    assert ModelManifest.from_json(manifest.to_json()) == manifest
