"""One ``.keras`` file: uint8 images in, probabilities out, class names inside."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_img.errors import ExportError
from automl_img.export.parity import check_parity
from automl_img.files import replacing

# Beside Keras's own files in the archive; Keras ignores what it does not know.
_CLASSES = "automl_img.json"
# As in validation, so that parity compares the same sums.
_BATCH = 128


@dataclass(frozen=True)
class ExportedModel:
    """A model as it was exported.

    Attributes:
        model: a ``keras.Model`` from uint8 (images, size, size, channels) to probabilities.
        class_names: in the order of its outputs.
    """

    model: Any
    class_names: tuple[str, ...]

    @property
    def image_size(self) -> int:
        return int(self.model.input_shape[1])

    @property
    def channels(self) -> int:
        return int(self.model.input_shape[3])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities, float32 (images, classes), of uint8 (images, size, size, channels)."""
        parts = [
            np.asarray(self.model.predict_on_batch(images[start : start + _BATCH]))
            for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)


def export_keras(
    classifier: Any,
    class_names: tuple[str, ...],
    path: Path,
    samples: np.ndarray,
    expected: np.ndarray,
) -> None:
    """Write ``classifier`` to ``path``; if the file predicts otherwise, nothing stays there.

    Args:
        classifier: from uint8 images to logits; see ``automl_img.models.network.serving_model``.
        samples: uint8 (images, size, size, channels), none of them a test image.
        expected: probabilities that ``classifier`` gives for them.

    Raises:
        ExportError: the file, loaded again, predicts something else.
    """
    with replacing(path) as temporary:
        with_probabilities(classifier).save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_CLASSES, json.dumps({"class_names": class_names}))
        check_parity(path, load_keras(temporary).predict(samples), expected)


def with_probabilities(classifier: Any) -> Any:
    """A model from uint8 images to probabilities, where ``classifier`` gives logits."""
    import keras

    softmax = keras.layers.Softmax(dtype="float32", name="probabilities")
    return keras.Model(classifier.input, softmax(classifier.output), name="automl_img")


def load_keras(path: Path) -> ExportedModel:
    """The model that ``export_keras`` wrote; code inside the file is refused.

    Raises:
        ExportError: it is no model of ours, or cannot be loaded.
    """
    import keras

    class_names = _class_names(path)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
        outputs = int(model.output_shape[-1])
    except Exception as error:  # Whatever Keras stumbles on in a strange file.
        raise _unloadable(path, error) from None
    if outputs != len(class_names):
        raise ExportError(
            f"the model {path} must have an output for each class, but it has {outputs} outputs "
            f"and names {len(class_names)} classes"
        )
    return ExportedModel(model, class_names)


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(str(name) for name in json.loads(archive.read(_CLASSES))["class_names"])
    except FileNotFoundError:
        raise ExportError(f"there is no model {path}; export one with: automl-img export") from None
    except KeyError:
        raise ExportError(
            f"{path} holds no class names: it was not exported by automl-img"
        ) from None
    except Exception as error:  # Damaged archives raise zlib's errors and others too.
        raise _unloadable(path, error) from None


def _unloadable(path: Path, error: Exception) -> ExportError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ExportError(f"the model {path} cannot be loaded: {lines[0][:300]}")
