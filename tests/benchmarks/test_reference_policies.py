from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from adasr_core.bundle import open_bundle
from benchmarks.blended_references import BlendingModel
from benchmarks.display_quality import DisplayQuality
from benchmarks.reference_policies import Clip, PolicyRow, main, mean_row, measure_policy
from tests.real_model import edge_codec, edge_model, talking


def clip(frames: int) -> Clip:
    angles = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    face = 0.4 * np.stack((np.cos(angles), np.sin(angles), 0 * angles), axis=1)
    return Clip(
        name="talking",
        images=[talking(frame) for frame in range(frames)],
        times=[frame / 25 for frame in range(frames)],
        frame_rate=Fraction(25),
        landmarks=np.tile(face.astype(np.float32), (frames, 1, 1)),
    )


@pytest.mark.slow
def test_a_chain_beats_stills_at_equal_wire_rate_and_keeps_to_it() -> None:
    rows = {kind: measure_policy(clip(75), edge_model(), edge_codec(), kind, 20.0) for kind in ("stills", "av1")}
    # In three seconds the rate may not pay for a second still at all.
    assert rows["stills"].wire_kbps < 24
    assert 8 < rows["av1"].wire_kbps < 24
    assert rows["av1"].references_per_s > 2 * rows["stills"].references_per_s
    assert rows["av1"].quality.psnr_db > rows["stills"].quality.psnr_db
    assert rows["av1"].first_bytes < rows["stills"].first_bytes


def test_a_blend_is_the_mean_of_two_rebuilds_once_there_are_two() -> None:
    blending = BlendingModel.load(open_bundle("edge"), threads=2)
    assert isinstance(blending, BlendingModel)
    plain = edge_model()
    pictures = [talking(0), talking(12)]
    poses = [plain.detect(np.ascontiguousarray(picture[::2, ::2])).parameters for picture in pictures]
    driving = plain.detect(np.ascontiguousarray(talking(5)[::2, ::2])).parameters
    features = [plain.encode(picture) for picture in pictures]
    rebuilt = [plain.rebuild(one, pose, driving).copy().astype(int) for one, pose in zip(features, poses, strict=True)]
    first = blending.rebuild(features[0], poses[0], driving).copy()
    np.testing.assert_allclose(first.astype(int), rebuilt[0], atol=1)
    blended = blending.rebuild(features[1], poses[1], driving).astype(int)
    np.testing.assert_allclose(blended, (rebuilt[0] + rebuilt[1]) / 2, atol=2)
    blending.forget()
    again = blending.rebuild(features[1], poses[1], driving).astype(int)
    np.testing.assert_allclose(again, rebuilt[1], atol=1)


def test_rows_are_averaged_over_clips() -> None:
    rows = [PolicyRow("av1", 10.0, kbps, 1.0, 2000.0, DisplayQuality(kbps, 1.0, 1.0, 1.0)) for kbps in (8.0, 10.0)]
    mean = mean_row(rows)
    assert (mean.wire_kbps, mean.quality.psnr_db, mean.references) == (9.0, 9.0, "av1")
    assert mean.to_json()["target_kbps"] == 10.0


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["clip.mp4", "--references", "jpeg"])
    assert "jpeg" in capsys.readouterr().err
