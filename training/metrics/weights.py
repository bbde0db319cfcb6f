"""Where the weights of published metric networks are looked for. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch


class WeightsMissingError(Exception):
    """A metric's weights, or a package that it needs, are not there. The message says what and where it was sought."""


def find_weights(metric: str, file_name: str, given: Path | None) -> Path:
    """The weight file of a metric: the one that was given, or the usual name in torch.hub's cache.

    A hash at the end of the usual name (``alexnet-owt-7be5be79.pth``) must be that of the file: these files are read
    with pickle, so only the published bytes will do.

    Args:
        metric: for the message.
        file_name: the usual name.
        given: a path from the command line, or None.

    Raises:
        WeightsMissingError: nothing was given and the cache has no such file.
        FileNotFoundError: the given path is no file.
        ValueError: the file's sha256 does not begin as its published name says.
    """
    if given is not None and not given.is_file():
        raise FileNotFoundError(2, f"weights of {metric}: no such file", str(given))
    path = given or Path(torch.hub.get_dir()) / "checkpoints" / file_name
    if not path.is_file():
        raise WeightsMissingError(f"{metric}: no weights; looked for {path}, give another place by its option")
    expected = Path(file_name).stem.rpartition("-")[2]
    if len(expected) == 8 and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(expected):
        raise ValueError(f"{path}: its sha256 does not begin with {expected}; expected the published {file_name}")
    return path
