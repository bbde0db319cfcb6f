"""Pictures that are kept on disk from one call to the next: faces, so private files, few, and not for ever.

    folder/<codec id>-<name>.png      lossless pixels; of pictures that this end sent, their motion parameters too

A picture is checked against its name whenever it is loaded: one that is not what it was is deleted, and said so.
Nothing but files of this form is touched. Deleting any of them, or the folder, costs the next call a little time.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from adasr_core.bitstream.kept_picture import KEPT_NAME_BYTES, MAX_MARKS, KeptPicture, kept_name
from adasr_core.bundle import ModelBundle
from adasr_core.geometry import MotionParameters

_FILE = re.compile(rf"(?P<codec_id>[0-9a-f]{{16}})-(?P<name>[0-9a-f]{{{2 * KEPT_NAME_BYTES}}})\.png")
_PARTIAL = re.compile(rf"\.{_FILE.pattern}\.\d+\.partial")
_PARAMETERS = "adasr parameters"
_VALUES_PER_KEYPOINT = 6
_LARGEST_BYTES = 16 << 20
_COMPRESSION = 3  # of zlib: half the time of 6 for a tenth more bytes
_DAY_S = 86_400.0
_ABANDONED_S = 3_600.0
_UNREADABLE = (OSError, ValueError, TypeError, SyntaxError, EOFError, KeyError, Image.DecompressionBombError)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptFolderConfig:
    """How much is kept."""

    pictures: int = MAX_MARKS
    """At most so many; those longest unused go first."""
    total_bytes: int = 64 << 20
    """At most so many bytes in all."""
    days: float = 60.0
    """What was not used for so long goes."""

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        for name in ("pictures", "total_bytes", "days"):
            if not getattr(self, name) > 0:
                raise ValueError(f"kept folder {name}: got {getattr(self, name)}, expected a positive number")


class KeptFolder:
    """The kept pictures of one direction of calls."""

    def __init__(self, folder: Path, bundle: ModelBundle, config: KeptFolderConfig | None = None) -> None:
        """Make the folder if need be, and delete what is too old or too much.

        Raises:
            OSError: the folder cannot be made, read or written.
        """
        self._folder = folder
        self._codec_id = bundle.codec_id
        self._frame_px = bundle.manifest.frame_px
        self._keypoints = bundle.manifest.keypoints
        self._config = config if config is not None else KeptFolderConfig()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno, f"no folder for kept pictures can be made here ({error.strerror})", str(folder)
            ) from error
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(f"{folder}: kept pictures can not be read and written here; give another folder")
        self._tidy()

    def names(self) -> tuple[bytes, ...]:
        """Pictures that calls with this model can use, the latest used first; 64 at most."""
        found = [match for path, _, _ in self._files() if (match := _FILE.fullmatch(path.name))]
        ours = [match["name"] for match in found if match["codec_id"] == self._codec_id]
        return tuple(bytes.fromhex(name) for name in ours[:MAX_MARKS])

    def load(self, name: bytes) -> KeptPicture | None:
        """A picture by name; None when it is not there. One that is damaged is deleted, and a warning says so."""
        path = self._path(name)
        try:
            data = _read(path)
        except FileNotFoundError:
            return None  # not worth a word: the other side may name whatever it likes
        except OSError as error:
            _logger.warning("kept picture %s: cannot be read (%s); calls go on without it", path, error.strerror)
            return None
        try:
            return self._unpack(name, data)
        except _UNREADABLE as error:
            _logger.warning("kept picture %s: %s; deleted", path, error)
            path.unlink(missing_ok=True)
            return None

    def use(self, name: bytes) -> KeptPicture | None:
        """As `load`, and the picture counts as used just now: it stays longer than others."""
        kept = self.load(name)
        if kept is not None:
            try:
                os.utime(self._path(name))
            except OSError as error:
                _logger.warning("kept picture %s: cannot be marked as used (%s)", self._path(name), error.strerror)
        return kept

    def keep(self, pictures: Iterable[KeptPicture]) -> int:
        """Write these pictures, for the owner's eyes alone; how many were not there yet.

        A disk that is full, or a folder that is gone, ends it with a warning: a call does not fail by it.
        """
        written = 0
        try:
            for kept in pictures:
                if not self._path(kept.name).exists():
                    self._write(kept)
                    written += 1
            self._tidy()
        except OSError as error:
            _logger.warning("kept pictures: cannot be written to %s (%s)", self._folder, error.strerror)
        return written

    def _path(self, name: bytes) -> Path:
        return self._folder / f"{self._codec_id}-{name.hex()}.png"

    def _unpack(self, name: bytes, data: bytes) -> KeptPicture:
        """A picture from its file's bytes. Raises one of `_UNREADABLE`."""
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (self._frame_px, self._frame_px) or image.mode != "RGB":
                raise ValueError(f"is {image.size} {image.mode}, expected {self._frame_px} px RGB")
            pixels = np.array(image, np.uint8)
            text = getattr(image, "text", {}).get(_PARAMETERS)
        if kept_name(pixels, self._codec_id) != name:
            raise ValueError("does not match its name any more")
        if text is None:
            return KeptPicture(name, pixels)
        vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
        if len(vector) != _VALUES_PER_KEYPOINT * self._keypoints or not np.isfinite(vector).all():
            raise ValueError(f"has no parameters of {self._keypoints} keypoints")
        return KeptPicture(name, pixels, MotionParameters.from_vector(vector))

    def _write(self, kept: KeptPicture) -> None:
        """The file appears complete, and never for others to read."""
        info = PngImagePlugin.PngInfo()
        if kept.parameters is not None:
            vector = kept.parameters.vector().astype("<f4")
            info.add_text(_PARAMETERS, base64.b64encode(vector.tobytes()).decode("ascii"))
        buffer = io.BytesIO()
        Image.fromarray(kept.picture).save(buffer, "PNG", compress_level=_COMPRESSION, pnginfo=info)
        path = self._path(kept.name)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(buffer.getvalue())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def _files(self) -> list[tuple[Path, float, int]]:
        """Our files with their time of use and their bytes, the latest used first."""
        found = []
        for path in self._folder.iterdir():
            if _FILE.fullmatch(path.name) or _PARTIAL.fullmatch(path.name):
                try:
                    status = path.lstat()
                except FileNotFoundError:
                    continue  # another call deleted it meanwhile
                found.append((path, status.st_mtime, status.st_size))
        return sorted(found, key=lambda entry: (-entry[1], entry[0].name))

    def _tidy(self) -> None:
        """Delete what is too old, too much, or was left half written by a program that died."""
        now = time.time()
        count = total = 0
        for path, used, size in self._files():
            if path.name.startswith("."):
                if now - used > _ABANDONED_S:
                    path.unlink(missing_ok=True)
                continue
            count, total = count + 1, total + size
            config = self._config
            if count > config.pictures or total > config.total_bytes or now - used > config.days * _DAY_S:
                path.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """A file's bytes, no more than a picture has.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(_LARGEST_BYTES)
