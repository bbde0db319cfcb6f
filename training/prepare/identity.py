"""Who a video shows, and in which split that person is. One identity is never in two splits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Names the identity of a file by its key.

    rule: ``file`` (each file is a person of its own), ``folder`` (the folder that the file lies in), or a regular
    expression that is searched in the key and whose first group is the identity.

    Raises:
        ValueError: the expression is wrong or has no group.
    """

    rule: str

    def __post_init__(self) -> None:
        """Check the expression."""
        if self.rule in ("file", "folder"):
            return
        try:
            groups = re.compile(self.rule).groups
        except re.error as error:
            raise ValueError(f"--identity: got {self.rule!r}, not a regular expression: {error}") from error
        if groups < 1:
            raise ValueError(
                f"--identity: got {self.rule!r}, expected file, folder or a regular expression with a group, "
                r"e.g. '^(\w+)_\d+'"
            )

    def identify(self, key: str) -> str:
        """The identity of a file.

        Raises:
            ValueError: the rule does not apply to it.
        """
        path = PurePosixPath(key)
        if self.rule == "file":
            return str(path.with_suffix(""))
        if self.rule == "folder":
            if path.parent == PurePosixPath("."):
                raise ValueError(
                    f"{key}: lies in no folder of its own, so --identity folder cannot name the person; give the "
                    "folder above the people's folders, or another rule"
                )
            return str(path.parent)
        found = re.search(self.rule, key)
        if found is None or not found[1]:
            raise ValueError(f"{key}: --identity {self.rule!r} finds no person in this name; change the expression")
        return found[1]


def split_of(identity: str, val_share: float) -> str:
    """The split of a person: the same on every machine and in every run, whoever else is there.

    Args:
        identity: who.
        val_share: the share of people who go to ``val``, 0 to 1. A larger share keeps all who were there.
    """
    if not 0.0 <= val_share <= 1.0:
        raise ValueError(f"val_share: got {val_share}, expected 0 to 1")
    drawn = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") / 2**64
    return "val" if drawn < val_share else "train"


def check_splits(people: Iterable[tuple[str, str]]) -> None:
    """Refuse pairs of identity and split that put one person into two splits. Raises ValueError."""
    known: dict[str, str] = {}
    for identity, split in people:
        if known.setdefault(identity, split) != split:
            raise ValueError(
                f"identity {identity!r}: in both splits, train and val; one person must be in one. Check the split "
                "column, or keep --val-share as it was when the first videos were prepared"
            )
