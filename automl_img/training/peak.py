"""The most memory that a process has held."""

from __future__ import annotations

from pathlib import Path

import keras


class Growth:
    """How much more than at some moment a process has held since; on a GPU, its allocator."""

    def __init__(self) -> None:
        self._before: int | None = None

    def begin(self) -> None:
        """Count from here on."""
        counts = forget_peak()
        gpu_peak_bytes(forget=True)
        on_gpu = gpu_peak_bytes()
        self._before = on_gpu if on_gpu is not None else peak_bytes() if counts else None

    def bytes(self) -> int | None:
        """The most so far; None where the system cannot count anew."""
        if self._before is None:
            return None
        on_gpu = gpu_peak_bytes()
        return (peak_bytes() if on_gpu is None else on_gpu) - self._before


GROWTH = Growth()


def forget_peak() -> bool:
    """Let the system count the peak anew; says whether it can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """The most memory that this process has held since ``forget_peak``, mapped files left out, in
    bytes; where the system cannot count anew, since it began; 0 where it counts no peak."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        values = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
        mapped = int(values.get("RssFile", 0)) + int(values.get("RssShmem", 0))
        return 1024 * max(0, int(values["VmHWM"]) - mapped)
    except (OSError, KeyError, UnicodeDecodeError):
        return _peak_since_the_start()


def _peak_since_the_start() -> int:
    try:
        import resource
    except ImportError:  # Windows has none.
        return 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def gpu_peak_bytes(forget: bool = False) -> int | None:
    """The most memory of the first GPU that this process has held; None without a GPU.

    Args:
        forget: count anew from here on.
    """
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            if not tf.config.list_physical_devices("GPU"):
                return None
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
            if forget:
                tf.config.experimental.reset_memory_stats("GPU:0")
        case "torch":
            import torch

            if not torch.cuda.is_available():
                return None
            peak = torch.cuda.max_memory_allocated()
            if forget:
                torch.cuda.reset_peak_memory_stats()
        case _:
            import jax

            if jax.default_backend() != "gpu":
                return None
            # JAX cannot be told to forget.
            peak = jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    return int(peak)
