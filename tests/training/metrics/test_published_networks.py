"""Metrics with published weights: what is missing is said, what is given is used."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from training.metrics import FrechetDistance, IdentityDistance, PerceptualDistance, WeightsMissingError, find_weights


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A torch.hub cache without weights."""
    cache = tmp_path / "hub"
    (cache / "checkpoints").mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(cache))
    return cache


def face_points(shift: float = 0.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Landmarks whose eyes, nose and mouth stand as those of a face in the middle of the picture."""
    points = np.zeros((478, 3), np.float32)
    for number, place in zip((468, 473, 4, 61, 291), ((-0.2, -0.2), (0.2, -0.2), (0, 0), (-0.15, 0.2), (0.15, 0.2)),
                             strict=True):  # fmt: skip
        points[number, :2] = place
    points[:, 0] += shift
    return points


def write_network(path: Path, side: int = 112) -> Path:
    """A network whose embedding is the mean of each colour."""
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["face"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["embedding"]),
        ],
        "mean_colour",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.mark.parametrize("metric", [PerceptualDistance, FrechetDistance])
def test_missing_weights_are_named_with_the_place_where_they_were_sought(
    metric: type[PerceptualDistance | FrechetDistance], empty_cache: Path
) -> None:
    with pytest.raises(WeightsMissingError, match=rf"no weights; looked for {empty_cache}/checkpoints/\w+"):
        metric()


@pytest.mark.parametrize("metric", [PerceptualDistance, FrechetDistance, IdentityDistance])
def test_a_given_path_must_exist(
    metric: type[PerceptualDistance | FrechetDistance | IdentityDistance], tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        metric(tmp_path / "none.pth")


def test_other_bytes_under_a_published_name_are_refused(tmp_path: Path, empty_cache: Path) -> None:
    (empty_cache / "checkpoints" / "alexnet-owt-7be5be79.pth").write_bytes(b"not AlexNet")
    with pytest.raises(ValueError, match="its sha256 does not begin with 7be5be79"):
        PerceptualDistance()
    data = b"published"
    name = f"network-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    given = tmp_path / "elsewhere.pth"
    given.write_bytes(data)
    assert find_weights("metric", name, given) == given
    (empty_cache / "checkpoints" / name).write_bytes(data)
    assert find_weights("metric", name, None) == empty_cache / "checkpoints" / name


def test_identity_compares_embeddings_of_aligned_faces(tmp_path: Path) -> None:
    distance = IdentityDistance(write_network(tmp_path / "face.onnx"))
    red, green = np.zeros((2, 256, 256, 3), np.uint8)
    red[..., 0] = green[..., 1] = 255
    points = face_points()
    assert distance(red, red, points, points) == pytest.approx(0.0, abs=1e-6)
    # Unit embeddings (1, -1, -1) / sqrt(3) and (-1, 1, -1) / sqrt(3).
    assert distance(red, green, points, points) == pytest.approx(np.sqrt(8 / 3), abs=1e-4)


def test_identity_follows_the_face_where_it_moved(tmp_path: Path) -> None:
    distance = IdentityDistance(write_network(tmp_path / "face.onnx", side=64))
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    moved = np.roll(picture, 32, axis=1)
    # 32 of 256 pixels are 0.25 in [-1, 1]; what is rolled round the edge lies outside the aligned face.
    followed = distance(picture, moved, face_points(), face_points(0.25))
    assert followed == pytest.approx(0.0, abs=1e-3)
    assert distance(picture, moved, face_points(), face_points()) > 0.02


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="ONNX Runtime does not load it"):
        IdentityDistance(path)
