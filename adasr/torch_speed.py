"""What torch measures beside a model: the ceiling of the device's matrix products, and the published generator."""

from benchmarks.percentiles import Percentiles, measure

_CEILING_RUNS = 20
_PUBLISHED_RUNS = 10


def torch_missing() -> str | None:
    """Why torch cannot be used; None when it can."""
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        return f"torch is not installed ({error}); pip install 'adasr[train]'"
    return None


def matmul_ceiling_tflops(device: str, *, bfloat16: bool) -> float:
    """What a large square matrix product reaches on `device`, 1e12 operations a second, at the median.

    Raises:
        ValueError: torch does not see the device.
    """
    import torch

    _check_device(device)
    size = 8192 if device.startswith("cuda") else 1024
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply(_: int) -> None:
        torch.mm(a, b)
        _finish(device)

    with torch.inference_mode():
        found = measure(multiply, runs=_CEILING_RUNS, warm_up=5)
    return 2 * size**3 / (found.p50 * 1e9)


def published_frame_ms(device: str, *, bfloat16: bool, runs: int = _PUBLISHED_RUNS) -> Percentiles:
    """A 512x512 frame of the published generator's cost model, batch 1, all of it, as its authors run it.

    Weights lie channels last, as tensor cores want them, and cuDNN takes its fastest algorithms; not compiled.

    Raises:
        ValueError: torch does not see the device.
    """
    import torch

    from export.published_generator import PublishedGenerator, published_inputs

    _check_device(device)
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    torch.manual_seed(0)
    network = PublishedGenerator().eval().to(device=device, dtype=dtype)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        elif isinstance(layer, torch.nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    inputs = [tensor.to(device=device, dtype=dtype) for tensor in published_inputs(1)]
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True

    def rebuild(_: int) -> None:
        network(*inputs)
        _finish(device)

    try:
        with torch.inference_mode():
            return measure(rebuild, runs=runs, warm_up=3 if device.startswith("cuda") else 0)
    finally:
        torch.backends.cudnn.benchmark = before


def _check_device(device: str) -> None:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device}: torch {torch.__version__} sees no NVIDIA GPU; install its CUDA build")


def _finish(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
