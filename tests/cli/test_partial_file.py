from pathlib import Path

import pytest

from adasr.partial_file import check_distinct, partial_file


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    final = tmp_path / "out.bin"
    with partial_file(final) as temporary:
        temporary.write_bytes(b"new")
        assert not final.exists()
        assert temporary.parent == final.parent
    assert final.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind_and_an_old_file_stays(tmp_path: Path, error: type[BaseException]) -> None:
    final = tmp_path / "out.bin"
    final.write_bytes(b"old")

    def fail_half_way() -> None:
        with partial_file(final) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_missing_folder_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder of the output"), partial_file(tmp_path / "no" / "out.bin"):
        pytest.fail("the block must not run")


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), partial_file(tmp_path):
        pytest.fail("the block must not run")


def test_input_and_output_must_differ(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.touch()
    (tmp_path / "link.mp4").symlink_to(file)
    with pytest.raises(ValueError, match="same file"):
        check_distinct(file, tmp_path / "link.mp4")
    check_distinct(file, tmp_path / "other.mp4")
