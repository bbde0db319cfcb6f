"""Which videos of a plan are finished already, and which must be done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.prepare.identity import check_splits
from training.prepare.job import VideoJob
from training.prepare.record import VideoRecord, load_records, stamp
from training.prepare.settings import PrepareSettings


@dataclass(frozen=True, slots=True)
class Remainder:
    """jobs: what is to be done. finished: how many of the plan are done. remarks: what is done again and why."""

    jobs: tuple[VideoJob, ...]
    finished: int
    remarks: tuple[str, ...]


def remaining(jobs: Sequence[VideoJob], settings: PrepareSettings, out: Path, *, redo: bool) -> Remainder:
    """Compare a plan with the records below `out`, and clear what must be done again.

    A video is finished when its record says that it was prepared in the same way from the same file and all its files
    are there in full size.

    Args:
        jobs: the plan.
        settings: how to prepare.
        out: the data set's folder.
        redo: whether videos that were prepared in another way are cleared and done again.

    Raises:
        ValueError: a video was prepared in another way and `redo` is False, or one that is not in the plan was; a
            person would be in two splits; a record is damaged.
        OSError: a file cannot be read.
    """
    planned = {job.key: job for job in jobs}
    finished: set[str] = set()
    clear: list[VideoRecord] = []
    remarks: list[str] = []
    kept: list[VideoRecord] = []
    for record in load_records(out):
        job = planned.get(record.key)
        difference = _difference(record, job, settings)
        if difference is not None:
            if not redo or job is None:
                remedy = "give --redo to do it again" if job else "give this video too and --redo"
                raise ValueError(
                    f"{record.key} was prepared in {out} in another way ({difference}); {remedy}, or use another --out"
                )
            clear.append(record)
        elif job is None:
            kept.append(record)
        elif _is_new(record, job):
            clear.append(record)
            remarks.append(f"{record.key} has changed since it was prepared and is done again")
        elif not record.is_whole(out):
            clear.append(record)
            remarks.append(f"{record.key}: a file of it is missing or not whole, so it is done again")
        else:
            finished.add(record.key)
    check_splits(
        [(span.identity, span.split) for job in jobs for span in job.spans]
        + [(clip.identity, clip.split) for record in kept for clip in record.clips if clip.split != "stills"]
    )
    for record in clear:
        record.delete(out)
    return Remainder(tuple(job for job in jobs if job.key not in finished), len(finished), tuple(remarks))


def _is_new(record: VideoRecord, job: VideoJob) -> bool:
    """Whether the source is another file than it was; a source that is gone since is prepared all the same."""
    return Path(job.path).is_file() and record.stamp != stamp(job)


def _difference(record: VideoRecord, job: VideoJob | None, settings: PrepareSettings) -> str | None:
    """What was different, in words, or None."""
    wanted: dict[str, Any] = settings.as_json()
    got = record.settings
    if job is not None:
        wanted = wanted | json.loads(json.dumps(job.as_json()))
        got = got | record.job
    differing = [name for name in sorted(wanted.keys() | got.keys()) if wanted.get(name) != got.get(name)]
    if not differing:
        return None
    name = differing[0]
    was, now = (json.dumps(values.get(name), ensure_ascii=False) for values in (got, wanted))
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"{name} was {was}, now {now}{more}"
