"""Key frames as the codec sends them, and both kinds of damage together."""

import builtins
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from adasr_core.bitstream.picture import decode_picture, encode_picture
from training.degradation import (
    CodecConfig,
    CodecDegradation,
    KeyFrameCoder,
    KeyFrameConfig,
    KeyFrameDegradation,
)
from training.degradation.codec import CodecDraw, draw_codec, equal_jpeg_quality
from training.degradation.jpeg import compress


def portrait(size: int = 128) -> np.ndarray:
    return np.asarray(cv2.resize(data.astronaut()[:256, 96:352], (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean()))


def test_full_size_key_frame_is_what_the_bitstream_carries() -> None:
    codec = CodecDegradation()
    made = codec.apply(tensor(portrait()), [CodecDraw(128, 40)])
    expected = tensor(decode_picture(encode_picture(portrait(), 40), 128))
    torch.testing.assert_close(made, expected, atol=1e-6, rtol=0)


def test_small_key_frame_is_shrunk_coded_and_enlarged() -> None:
    # Pixels of 2x2 equal ones: their mean is a byte, and no rounding can fall either way.
    large = portrait(64).repeat(2, axis=0).repeat(2, axis=1)
    made = CodecDegradation().apply(tensor(large), [CodecDraw(64, 60)])
    decoded = tensor(decode_picture(encode_picture(portrait(64), 60), 64))
    expected = torch.nn.functional.interpolate(decoded, size=(128, 128), mode="bicubic").clamp(0, 1)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_sizes_may_differ_inside_a_batch() -> None:
    codec = CodecDegradation()
    source = tensor(portrait()).repeat(2, 1, 1, 1)
    made = codec.apply(source, [CodecDraw(64, 50), CodecDraw(128, 50)])
    for i, draw in enumerate((CodecDraw(64, 50), CodecDraw(128, 50))):
        assert psnr(made[i : i + 1], codec.apply(source[:1], [draw])) > 60


def test_substitute_is_jpeg_and_costs_as_much_as_avif() -> None:
    jpeg = CodecDegradation(CodecConfig(coder=KeyFrameCoder.JPEG))
    source = tensor(portrait(256))
    made = jpeg.apply(source, [CodecDraw(256, 40)])
    torch.testing.assert_close(made, compress(source, [equal_jpeg_quality(40)]))
    avif = CodecDegradation().apply(source, [CodecDraw(256, 40)])
    assert psnr(made, source) == pytest.approx(psnr(avif, source), abs=2.5)
    assert [equal_jpeg_quality(q) for q in (30, 35, 90, 100)] == [27, 32, 91, 91]


def test_draws_follow_the_configuration() -> None:
    config = CodecConfig(quality=(30, 40), small=0.3, small_quality=(50, 60))
    draws = [draw_codec(config, 512, seed) for seed in range(600)]
    small = [d for d in draws if d.size_px == 256]
    full = [d for d in draws if d.size_px == 512]
    assert len(small) + len(full) == 600
    assert len(small) / 600 == pytest.approx(0.3, abs=0.06)
    assert {d.quality for d in full} == set(range(30, 41))
    assert {d.quality for d in small} == set(range(50, 61))


def test_same_seed_same_result() -> None:
    codec = CodecDegradation(CodecConfig(coder=KeyFrameCoder.JPEG))
    source = tensor(portrait()).repeat(3, 1, 1, 1)
    whole, generator = codec(source, seeded(1)), seeded(1)
    parts = torch.cat([codec(source[:2], generator), codec(source[2:], generator)])
    assert (whole - parts).abs().mean() < 1e-4


def test_both_kinds_of_damage_happen_as_often_as_asked() -> None:
    source = tensor(portrait(64)).repeat(40, 1, 1, 1)
    coder = CodecConfig(coder=KeyFrameCoder.JPEG)
    never = KeyFrameDegradation(KeyFrameConfig(chained=0, coded=0))
    assert torch.equal(never(source, seeded()), source)
    some = KeyFrameDegradation(KeyFrameConfig(chained=0.25, coded=0, codec=coder))(source, seeded())
    changed = (some != source).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(0.25, abs=0.15)
    both = KeyFrameDegradation(KeyFrameConfig(chained=0.25, coded=0.5, codec=coder))(source, seeded())
    touched = (both != source).flatten(1).any(1).float().mean().item()
    assert touched == pytest.approx(1 - 0.75 * 0.5, abs=0.2)
    # What only the chain touched is the same with and without the codec's share.
    assert any(torch.equal(a, b) and not torch.equal(a, s) for a, b, s in zip(some, both, source, strict=True))


def test_same_key_frames_however_the_batch_is_cut() -> None:
    degrade = KeyFrameDegradation(KeyFrameConfig(chained=0.5, coded=0.5, codec=CodecConfig(coder=KeyFrameCoder.JPEG)))
    source, generator = tensor(portrait(64)).repeat(6, 1, 1, 1), seeded(2)
    parts = torch.cat([degrade(source[:2], generator), degrade(source[2:], generator)])
    assert (degrade(source, seeded(2)) - parts).abs().mean() < 1e-4


def test_avif_on_a_machine_without_pillow_is_an_error_and_never_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_pillow(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "PIL" or name.startswith("PIL."):
            raise ModuleNotFoundError("No module named 'PIL'", name="PIL")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_pillow)
    with pytest.raises(ValueError, match=r"coder: got avif, but PIL is not installed.*choose the coder jpeg"):
        CodecDegradation()
    assert CodecDegradation(CodecConfig(coder=KeyFrameCoder.JPEG)).config.coder is KeyFrameCoder.JPEG


def test_both_packages_load_with_torch_numpy_and_opencv_alone() -> None:
    """In a fresh process where everything else that is installed cannot be imported."""
    program = (
        "import sys\n"
        "class Bare:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in BLOCKED: raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "BLOCKED = {'PIL', 'safetensors', 'lightning_fabric', 'lightning', 'torchvision', 'torchmetrics', 'av',\n"
        "           'constriction', 'msgpack', 'scipy', 'skimage', 'onnx', 'openvino', 'tensorboard', 'ray'}\n"
        "sys.meta_path.insert(0, Bare())\n"
        "import training.losses, training.degradation\n"
        "training.degradation.DegradationChain()\n"
        "print('loaded')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "loaded\n", done.stderr


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="quality: got"):
        CodecConfig(quality=(0, 50))
    with pytest.raises(ValueError, match="coded: got -1"):
        KeyFrameConfig(coded=-1)
