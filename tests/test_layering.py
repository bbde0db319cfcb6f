"""What the layering forbids must not happen at run time either: import-linter reads the source, this runs it."""

import subprocess
import sys

import pytest

IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {packages!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        importlib.import_module(module.name)
present = sorted({{name.partition(".")[0] for name in sys.modules}} & set({forbidden!r}))
print(",".join(present))
"""


def loaded(packages: list[str], forbidden: list[str]) -> str:
    """Import packages with all their modules in a fresh process; name those of the forbidden that came along."""
    script = IMPORT_ALL.format(packages=packages, forbidden=forbidden)
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_call_runs_without_torch() -> None:
    packages = ["call", "sender", "receiver", "benchmarks", "adasr_core.engines"]
    assert loaded(packages, ["torch", "onnx", "training", "export"]) == ""


def test_the_probe_sees_torch() -> None:
    assert loaded(["adasr_core.networks"], ["torch"]) == "torch"


@pytest.mark.parametrize("package", ["sender", "receiver"])
def test_sender_and_receiver_do_no_input_or_output(package: str) -> None:
    other = {"sender": "receiver", "receiver": "sender"}[package]
    # PyAV comes along as a codec of pictures in memory; import-linter holds it to `av1_chain`.
    assert loaded([package], [other, "aiortc", "call", "uvloop"]) == ""


def test_the_bitstream_needs_no_engine() -> None:
    forbidden = ["openvino", "onnxruntime", "torch", "aiortc"]
    assert loaded(["adasr_core.bitstream"], forbidden) == ""


def test_the_help_of_the_command_line_loads_nothing_heavy() -> None:
    script = (
        "import sys\nfrom adasr.cli import build_parser\nbuild_parser(None).format_help()\n"
        "print(sorted({'numpy', 'cv2', 'openvino', 'av', 'torch'} & set(sys.modules)))"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert finished.stdout.strip() == "[]"
