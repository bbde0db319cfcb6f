"""Prepare videos and pictures for training: face-centred square clips with landmarks, splits by identity, a manifest.

A run that was stopped goes on where it was. Exit code 1 when a video failed; the others are prepared all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

SUMMARY = "cut videos to face-centred clips with landmarks, splits and a manifest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("inputs", nargs="+", type=Path, metavar="VIDEO_OR_FOLDER", help="videos, pictures, folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the data set; may exist")
    people = parser.add_argument_group("people and where they come from")
    people.add_argument(
        "--identity",
        default="file",
        metavar="RULE",
        help="who a file shows: file (each another person, the default), folder, or a regular expression on the path "
        "whose first group is the person",
    )
    people.add_argument(
        "--metadata", type=Path, metavar="CSV", help="columns file and any of identity, split, licence, source"
    )
    people.add_argument("--val-share", type=float, default=0.1, metavar="0..1", help="share of people (default 0.1)")
    people.add_argument("--licence", default="unknown", help="of the videos (default: unknown)")
    people.add_argument("--source", default="unknown", help="where they come from (default: unknown)")
    people.add_argument(
        "--list",
        type=Path,
        metavar="CSV",
        help="prepare only these spans: columns video and any of start_s, end_s, x0, y0, x1, y1, identity, split",
    )
    people.add_argument(
        "--list-box", choices=("px", "relative"), default="px", help="unit of the list's boxes (default px)"
    )
    clips = parser.add_argument_group("clips")
    clips.add_argument("--min-seconds", type=float, default=2.0, help="shorter shots are left out (default 2)")
    clips.add_argument("--max-seconds", type=float, default=20.0, help="longer ones are cut into pieces (default 20)")
    clips.add_argument(
        "--min-face-px", type=float, default=80.0, help="least height of a face in the source (default 80)"
    )
    clips.add_argument("--face-share", type=float, default=0.5, help="height of the face in the clip (default 0.5)")
    clips.add_argument(
        "--least-face-share", type=float, default=0.35, help="the same where the source has few pixels (default 0.35)"
    )
    clips.add_argument("--no-audio", action="store_true", help="leave the sound out")
    work = parser.add_argument_group("how to run")
    work.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    work.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="run on a Ray cluster (cluster extra): its address; auto: that of this machine; none: one started here",
    )
    work.add_argument("--redo", action="store_true", help="prepare videos again that were prepared in another way")


def run(args: argparse.Namespace) -> int:
    """Prepare the data set."""
    from training.mediapipe_runtime import load_solution
    from training.prepare.dataset import write_dataset
    from training.prepare.identity import IdentityRule
    from training.prepare.plan import Naming, find_files, plan
    from training.prepare.progress import PrepareProgress
    from training.prepare.record import load_records
    from training.prepare.resume import remaining
    from training.prepare.settings import PrepareSettings
    from training.prepare.tables import read_list, read_metadata
    from training.prepare.video import WORK_FOLDER
    from training.prepare.workers import map_locally, map_on_ray

    if args.workers < 1:
        raise ValueError(f"--workers: got {args.workers}, expected 1 or more")
    load_solution("face_mesh", "FaceMesh")
    settings = PrepareSettings(
        min_seconds=args.min_seconds,
        max_seconds=args.max_seconds,
        min_face_px=args.min_face_px,
        face_share=args.face_share,
        least_face_share=args.least_face_share,
        audio=not args.no_audio,
    )
    naming = Naming(
        rule=IdentityRule(args.identity),
        val_share=args.val_share,
        licence=args.licence,
        source=args.source,
        metadata=read_metadata(args.metadata) if args.metadata else {},
        box_is_relative=args.list_box == "relative",
    )
    out = args.out.resolve()
    planned = plan(find_files(args.inputs, out), naming, read_list(args.list) if args.list else None)
    out.mkdir(parents=True, exist_ok=True)
    rest = remaining(planned.jobs, settings, out, redo=args.redo)
    for remark in (*planned.remarks, *rest.remarks):
        print(remark, file=sys.stderr)
    if rest.finished:
        print(f"{rest.finished} of {len(planned.jobs)} are finished already", file=sys.stderr)
    try:
        with PrepareProgress(len(rest.jobs), sys.stderr) as progress:
            if rest.jobs:
                if args.ray is None:
                    records = map_locally(rest.jobs, settings, out, workers=args.workers)
                else:
                    records = map_on_ray(rest.jobs, settings, out, address=args.ray, workers=args.workers)
                for record in records:
                    progress.add(record)
    finally:
        # A run that is stopped leaves a data set of what is finished.
        all_records = load_records(out)
        write_dataset(out, all_records)
        with contextlib.suppress(OSError):
            (out / WORK_FOLDER).rmdir()
    clips = [clip for record in all_records for clip in record.clips]
    minutes = sum(clip.end_s - clip.start_s for clip in clips) / 60
    print(f"{len(clips)} clips and stills, {minutes:.1f} min, {len({c.identity for c in clips})} people in {out}")
    if progress.work_s:
        print(f"{progress.frames_read / progress.work_s:.0f} frames/s a worker, both passes counted")
    for record in progress.failures:
        print(f"failed: {record.key}: {record.error}", file=sys.stderr)
    if progress.failures:
        print(f"{len(progress.failures)} of {len(rest.jobs)} failed", file=sys.stderr)
    return 1 if progress.failures else 0
