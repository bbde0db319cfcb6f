"""The error of everything that reads bytes from outside."""

from __future__ import annotations


class BitstreamError(ValueError):
    """Bytes from a peer or a file do not follow the bitstream. The message says which field, what came, what may."""
