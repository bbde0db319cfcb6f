import json
import sys

import pytest

from call import transport_bench
from call.transport_bench import measure_line, measure_wire


async def test_ours_costs_less_than_plain_aiortc_in_every_direction() -> None:
    plain = await measure_wire((False, 3, True, True), 1.5)
    ours = await measure_wire((True, 3, True, True), 1.5)
    assert ours.out_kbps < 0.6 * plain.out_kbps
    assert ours.back_kbps < 0.6 * plain.back_kbps


async def test_a_line_is_measured_with_what_it_lost() -> None:
    row = await measure_line("delay_ms=10,loss=0.3", 3.5, 5_000, 60_000)
    assert 0.5 < row.delivered_share < 0.9
    assert row.references == row.references_offered == 1
    assert row.reference_s_p50 is not None
    assert row.longest_gap_ms > 60


def test_the_command_prints_one_json_object_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["transport_bench", "lines", "--line", "delay_ms=5", "--seconds", "1", "--reference-bytes", "0"]
    )
    transport_bench.main()
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["line"] == "delay_ms=5"
    assert row["delivered_share"] == 1.0
    assert row["reference_s_p50"] is None
