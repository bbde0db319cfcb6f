"""The type stubs in tests/typings against the libraries themselves, where those are installed.

mypy checks the TensorRT engine and its builder against the stubs everywhere. This shows that the stubs are true: every
name is there and takes the arguments that the stub says. TensorRT's bindings (pybind11) print their signatures in
their docstrings; they need TensorRT's libraries to be imported, but no GPU.
"""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

TYPINGS = Path(__file__).resolve().parents[1] / "typings"


def stub(name: str) -> ast.Module:
    path = TYPINGS.joinpath(*name.split("."))
    file = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
    return ast.parse(file.read_text(encoding="utf-8"))


def arguments(function: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in function.args.args if argument.arg != "self"]


def is_property(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)


def signatures(thing: object, name: str) -> list[list[str]]:
    """Argument names of every overload that pybind11 or Cython has printed into a docstring."""
    found = []
    for line in (thing.__doc__ or "").splitlines():
        match = re.match(rf"\s*(?:\d+\. )?{name}\((.*?)\)(?: ->.*)?\s*$", line)
        if match and "*args" not in match.group(1):
            # Types hold commas in brackets: a name is what stands before a colon or alone.
            flat = re.sub(r"\[[^\]]*\]|<[^>]*>", "", match.group(1))
            names = [part.split(":")[0].split("=")[0].split()[-1] for part in flat.split(",") if part.strip()]
            found.append([argument for argument in names if argument != "self"])
    return found


def check_class(node: ast.ClassDef, module: ModuleType) -> int:
    thing = getattr(module, node.name)
    checked = 0
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and not member.name.startswith("__"):
            found = getattr(thing, member.name)
            if not is_property(member):
                wanted = arguments(member)
                overloads = signatures(found, member.name)
                assert any(overload[: len(wanted)] == wanted for overload in overloads), (
                    node.name,
                    member.name,
                    overloads,
                )
            checked += 1
        elif isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
            assert hasattr(thing, member.targets[0].id), (node.name, member.targets[0].id)
            checked += 1
        elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            assert isinstance(getattr(thing, member.target.id), property), (node.name, member.target.id)
            checked += 1
    return checked


def test_tensorrt_has_what_the_stub_says() -> None:
    try:
        module = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        pytest.skip(f"TensorRT is not installed: {error}")
    checked = sum(check_class(node, module) for node in stub("tensorrt").body if isinstance(node, ast.ClassDef))
    assert checked > 45
    assert module.nptype(module.DataType.UINT8).__name__ == "uint8"
    for node in stub("tensorrt").body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.ClassDef):
                    assert hasattr(getattr(module, node.name), inner.name), inner.name


@pytest.mark.parametrize("name", ["cuda.bindings.driver", "pycuda.driver"])
def test_cuda_libraries_have_what_the_stubs_say(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError) as error:
        pytest.skip(f"{name} is not installed: {error}")
    for node in stub(name).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = getattr(module, node.name)
            if isinstance(node, ast.FunctionDef) and name == "cuda.bindings.driver":
                wanted = arguments(node)
                assert any(overload[: len(wanted)] == wanted for overload in signatures(found, node.name)), node.name
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, ast.FunctionDef):
                        assert hasattr(found, member.name), (node.name, member.name)
                    elif isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
                        assert hasattr(found, member.targets[0].id), (node.name, member.targets[0].id)


def test_the_comparison_sees_a_wrong_stub() -> None:
    module = ModuleType("tensorrt")

    class Builder:
        def create_network(self) -> None:
            """The real one's docstring is put here below."""

    module.Builder = Builder  # type: ignore[attr-defined]
    Builder.create_network.__doc__ = (
        "create_network(self: tensorrt.Builder, flags: typing.SupportsInt = 0) -> tensorrt.INetworkDefinition"
    )
    right, wrong = (
        ast.parse(f"class Builder:\n    def create_network(self, {name}: int = 0): ...").body[0]
        for name in ("flags", "flag")
    )
    assert isinstance(right, ast.ClassDef)
    assert isinstance(wrong, ast.ClassDef)
    assert check_class(right, module) == 1
    with pytest.raises(AssertionError):
        check_class(wrong, module)
    missing = ast.parse("class Builder:\n    def gone(self): ...").body[0]
    assert isinstance(missing, ast.ClassDef)
    with pytest.raises(AttributeError):
        check_class(missing, module)
