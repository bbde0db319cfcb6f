"""What an installed package must bring and must not bring, read from pyproject.toml."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from adasr_core.bundle import open_bundle

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_wheel_brings_every_file_of_the_models(configuration: dict[str, Any]) -> None:
    included = configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    needed = {}
    for folder in sorted((ROOT / "models").iterdir()):
        for name in ("manifest.json", *(file.path for file in open_bundle(folder).manifest.files.values())):
            needed[f"models/{folder.name}/{name}"] = f"adasr/models/{folder.name}/{name}"
    assert included == needed


def test_the_wheel_brings_every_package(configuration: dict[str, Any]) -> None:
    # Fuzzing is for whoever works on the parsers, from a checkout.
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"fuzz"}
    assert set(configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == folders
    assert set(configuration["tool"]["importlinter"]["root_packages"]) == folders


def test_a_plain_install_brings_no_torch(configuration: dict[str, Any]) -> None:
    project = configuration["project"]
    assert not [name for name in project["dependencies"] if name.startswith(("torch", "onnx>", "onnx=", "scikit"))]
    assert "torch==2.13.0" in project["optional-dependencies"]["train"]


def test_every_dependency_is_pinned_once(configuration: dict[str, Any]) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and " " not in line and "+" not in line for line in pins)
    pinned = [line.partition("==")[0].lower() for line in pins]
    assert len(pinned) == len(set(pinned))
    extras = configuration["project"]["optional-dependencies"]
    for requirement in configuration["project"]["dependencies"] + extras["train"] + extras["dev"]:
        assert requirement.partition(";")[0].partition(">")[0].partition("=")[0].strip().lower() in pinned, requirement
