"""The GPU session on a machine without one: what it plans, what it names, and that its steps really run."""

import json
from pathlib import Path

import pytest

from benchmarks.gpu_session import Session, SessionConfig, Step, last_line, main, plan
from benchmarks.gpu_state import GpuState, gpu_state, parse_gpu_state


def test_it_measures_base_on_every_engine_and_builds_before_it_runs_tensorrt(tmp_path: Path) -> None:
    steps = plan(SessionConfig(out=tmp_path), Path("base"))
    names = [step.name for step in steps]
    assert names[:4] == ["torch-cuda", "onnxruntime-cuda", "build", "tensorrt"]
    assert {"edge-onnxruntime-cuda", "edge-tensorrt", "doctor", "tests"} <= set(names)
    assert names.index("build-edge") < names.index("edge-tensorrt")
    torch = steps[0].arguments
    assert "--published" in torch
    assert torch[torch.index("--batch") + 1] == "1,8,32"
    build = next(step for step in steps if step.name == "build").arguments
    assert build[build.index("--batch") + 1 :][:3] == ("1", "8", "32")
    assert "--check" in build


def test_a_step_that_fails_is_named_and_one_that_has_no_time_is_left_out(tmp_path: Path) -> None:
    session = Session(SessionConfig(out=tmp_path))
    script = "import sys; print('adasr: no such engine'); sys.exit(2)"
    session._run(Step(name="broken", arguments=("-c", script), limit_s=30), _in(60), tmp_path)
    session._run(Step(name="late", arguments=("-c", ""), limit_s=30), _in(1), tmp_path)
    session._run(Step(name="slow", arguments=("-c", "import time; time.sleep(60)"), limit_s=2), _in(60), tmp_path)
    session._run(
        Step(name="no", arguments=("-c", "raise SystemExit(1)"), limit_s=30, answers=(0, 1)), _in(60), tmp_path
    )
    broken, late, slow, answered = session.results
    assert (answered.exit_code, answered.problem) == (1, None)
    assert broken.exit_code == 2
    assert broken.problem == "exit code 2: adasr: no such engine"
    assert late.problem == "left out: no time was left"
    assert slow.problem is not None
    assert "did not end within 2 s" in slow.problem


def _in(seconds: float) -> float:
    import time

    return time.monotonic() + seconds


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_a_processor_the_whole_session_runs(tmp_path: Path) -> None:
    """The real commands, on engines that are here; the folder of base is made on the way."""
    arguments = ["--engines", "torch-cpu", "--batch", "2", "--runs", "1", "--no-published", "--no-checks"]
    assert main(["--out", str(tmp_path), *arguments]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [step["name"] for step in summary["steps"]] == ["make", "torch-cpu"]
    report = summary["reports"]["torch-cpu"]
    assert report["model"] == "base-untrained"
    assert 2 < report["gmac_per_frame"] <= 100
    assert [batch["batch"] for batch in report["batches"]] == [2]
    assert report["ceiling_tflops"] > 0


def test_the_last_words_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("first\nsecond  \n\n")
    assert last_line(log) == "second"
    log.write_text("")
    assert last_line(log) == "no output"


def test_what_the_driver_says() -> None:
    assert parse_gpu_state("NVIDIA H200, 570.86.10, 512, 143771\n") == GpuState("NVIDIA H200", "570.86.10", 512, 143771)
    with pytest.raises(ValueError, match="nvidia-smi: got"):
        parse_gpu_state("No devices were found")
    assert gpu_state(index=999) is None
