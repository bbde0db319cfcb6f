"""Loading MediaPipe 0.10.21, with a clear word when it is missing and without its chatter on standard error.

MediaPipe carries its networks inside its package, so nothing is downloaded. Its own requirements ask for packages that
the face solutions do not use (numpy 1, jax, a second OpenCV), so it is installed without them.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HOW_TO_INSTALL = "pip install 'adasr[landmarks]' and then pip install --no-deps mediapipe==0.10.21"


class MediaPipeMissingError(ModuleNotFoundError, ValueError):
    """MediaPipe, or a package that it needs, is not installed; the message says what to do."""


def load_solution(module: str, name: str) -> Any:
    """A class of ``mediapipe.python.solutions``, e.g. ``load_solution("face_mesh", "FaceMesh")``.

    Raises:
        MediaPipeMissingError: it is not installed.
    """
    try:
        # Its import complains on standard error about protobuf 6, with which the face solutions work all the same.
        with without_log():
            return getattr(importlib.import_module(f"mediapipe.python.solutions.{module}"), name)
    except ModuleNotFoundError as error:
        raise MediaPipeMissingError(
            f"finding faces needs MediaPipe 0.10.21, and the module {error.name!r} is missing: {_HOW_TO_INSTALL}",
            name=error.name,
        ) from error


@contextmanager
def without_log() -> Iterator[None]:
    """Hold back what C++ code writes to standard error meanwhile; show it after all when an exception is raised.

    MediaPipe logs before its logging can be configured, so only the file descriptor can be held back.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            log.seek(0)
            os.write(2, log.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
