"""What one peer keeps from call to call: its own pictures and the other side's, each in a folder of its own.

    DIR/sent        what this peer sent, with motion parameters     --> sender: may be named instead of sent
    DIR/received    what others sent it                             --> receiver: told to the sender, and looked up

Several contacts share the folders: a picture is found by its name alone, whoever sent it.
"""

from __future__ import annotations

import os
from pathlib import Path

from adasr_core.bitstream.kept_picture import SALT_BYTES, kept_marks
from adasr_core.bundle import ModelBundle
from call.control import Kept
from call.kept_folder import KeptFolder
from receiver.kept_pictures import KeptPictures
from sender.kept_references import KeptLook, KeptReferences


class KeptCalls:
    """Lends each half of a call what it keeps, and writes what is new when the call is over."""

    def __init__(self, folder: Path, bundle: ModelBundle) -> None:
        """Open the folders, or make them.

        Raises:
            OSError: they cannot be made, read or written.
        """
        self._codec_id = bundle.codec_id
        self._sent = KeptFolder(folder / "sent", bundle)
        self._received = KeptFolder(folder / "received", bundle)
        self._sender: KeptReferences | None = None
        self._receiver: KeptPictures | None = None

    def for_sender(self) -> KeptReferences:
        """What a sender of this call needs; reads all the pictures that it sent in earlier ones."""
        loaded = [self._sent.load(name) for name in self._sent.names()]
        looks = [KeptLook.of(kept) for kept in loaded if kept is not None and kept.parameters is not None]
        self._sender = KeptReferences(self._codec_id, looks, self._sent.use)
        return self._sender

    def for_receiver(self) -> KeptPictures:
        """What a receiver of this call needs."""
        self._receiver = KeptPictures(self._codec_id, self._received.use)
        return self._receiver

    def announcement(self) -> Kept | None:
        """What to tell the other side; None when nothing is kept of any call yet."""
        names = self._received.names()
        salt = os.urandom(SALT_BYTES)
        return Kept(salt, kept_marks(salt, names)) if names else None

    def close(self) -> tuple[int, int]:
        """Write what is new of this call; how many pictures of ours, and how many of the other side's."""
        sent = self._sent.keep(self._sender.pictures) if self._sender is not None else 0
        received = self._received.keep(self._receiver.pictures) if self._receiver is not None else 0
        return sent, received
