"""Where ``--json FILE`` goes: a file that appears complete or not at all, or the standard output."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from adasr.partial_file import partial_file


def write_json_report(report: Mapping[str, object], destination: str) -> None:
    """Write a report as indented JSON.

    Args:
        report: the figures, JSON types only; NaN and infinities are refused, for JSON has none.
        destination: a path, or ``-`` for the standard output.

    Raises:
        ValueError: a figure is not finite.
        OSError: the file cannot be written; nothing is left under the final name.
    """
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    if destination == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with partial_file(Path(destination)) as temporary:
        temporary.write_text(text, encoding="utf-8")
