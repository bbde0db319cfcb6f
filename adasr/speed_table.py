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
    rows = [
        ("detector (every frame)", report.detector_ms, report.gmac["detector"]),
        ("frame: motion + generator", report.frame_ms, report.gmac_per_frame),
        ("encoder (every key frame)", report.encoder_ms, report.gmac["encoder"]),
    ]
    refined_gmac = report.gmac_per_refined_frame
    if report.refiner_ms is not None and report.refined_ms is not None and refined_gmac is not None:
        rows.insert(2, ("refined: 2 motion + refiner", report.refined_ms, refined_gmac))
        rows.append(("refiner alone", report.refiner_ms, report.gmac["refiner"]))
    for name, durations, gmac in rows:
        table.add_row(name, f"{durations.p50:.1f}", f"{durations.p95:.1f}", f"{durations.p99:.1f}", f"{gmac:.3f}")
    console.print(table)
    console.print(f"detector and frame in turn: {report.fps:.0f} frames/s ({report.runs} runs)")
    if report.batches:
        console.print(_batch_table(report))
    if report.published_ms is not None:
        console.print(
            f"the published generator (2,406 GMAC) here: {report.published_ms.p50:.1f} ms a frame, "
            f"{report.published_ratio} times as long"
        )
    load, cores = report.load_average, report.processor.cores
    if load is not None and load > cores:
        console.print(f"the machine was busy (load {load:.1f} on {cores} cores): it is faster when it is quiet")


def _batch_table(report: SpeedReport) -> Table:
    """Streams in one launch."""
    ceiling = report.ceiling_tflops
    known = "not measured" if ceiling is None else f"{ceiling:.3g} TFLOP/s"
    table = Table(title=f"several streams in one launch; a matrix product reaches: {known}", title_justify="left")
    for heading in ("streams", "p50 ms", "p95 ms", "frames/s", "TFLOP/s", "of the ceiling", "GPU MiB"):
        table.add_column(heading, justify="right")
    for batch in report.batches:
        tflops = batch.tflops(report.gmac_per_frame)
        table.add_row(
            str(batch.batch),
            f"{batch.launch_ms.p50:.2f}",
            f"{batch.launch_ms.p95:.2f}",
            f"{batch.frames_per_s:.0f}",
            f"{tflops:.3g}",
            "-" if ceiling is None else f"{100 * tflops / ceiling:.0f} %",
            "-" if batch.gpu_memory_mib is None else str(batch.gpu_memory_mib),
        )
    return table
