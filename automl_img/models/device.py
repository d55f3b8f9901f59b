"""What the backend of Keras computes on."""

from __future__ import annotations

import keras


def sees_gpu() -> bool:
    """Whether the backend of Keras trains on a GPU here."""
    match keras.backend.backend():
        case "torch":
            import torch

            return bool(torch.cuda.is_available())
        case "jax":
            import jax

            return bool(jax.default_backend() == "gpu")
        case _:
            return bool(keras.distribution.list_devices("gpu"))


def activation_precision() -> str | None:
    """The ``dtype`` of an activation that is not linear by parts: on a CPU float32 under every
    policy, as processors have bfloat16 for products alone and emulate the rest of it; on a GPU
    None, that of the policy."""
    return None if sees_gpu() else "float32"
