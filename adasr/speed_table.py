"""Measured speed as a table on the terminal."""

from rich.console import Console
from rich.table import Table

from benchmarks.speed import SpeedReport


def print_speed(report: SpeedReport) -> None:
    """Print milliseconds and work of each part, and what they ran on."""
    console = Console(highlight=False)
    engine = report.engine
    threads = "all" if engine.threads is None else engine.threads
    table = Table(
        title=f"model {report.model} on {engine.engine} {report.engine_version}, {engine.device}, {engine.precision}, "
        f"threads: {threads}",
        title_justify="left",
    )
    table.add_column("part")
    for heading in ("p50 ms", "p95 ms", "p99 ms", "GMAC"):
        table.add_column(heading, justify="right")
    rows = (
        ("detector (every frame)", report.detector_ms, report.gmac["detector"]),
        ("frame: motion + generator", report.frame_ms, report.gmac_per_frame),
        ("encoder (every key frame)", report.encoder_ms, report.gmac["encoder"]),
    )
    for name, durations, gmac in rows:
        table.add_row(name, f"{durations.p50:.1f}", f"{durations.p95:.1f}", f"{durations.p99:.1f}", f"{gmac:.3f}")
    console.print(table)
    console.print(f"detector and frame in turn: {report.fps:.0f} frames/s ({report.runs} runs)")
    load, cores = report.load_average, report.processor.cores
    if load is not None and load > cores:
        console.print(f"the machine was busy (load {load:.1f} on {cores} cores): it is faster when it is quiet")
