"""One ``.keras`` file: uint8 images in, probabilities out, class names inside."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
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
        thresholds: from which probability on each class is said to be there, where an image may
            have several; None where it has one, the most probable.
    """

    model: Any
    class_names: tuple[str, ...]
    thresholds: tuple[float, ...] | None = None

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
    thresholds: Sequence[float] | None = None,
) -> None:
    """Write ``classifier`` to ``path``; if the file predicts otherwise, nothing stays there.

    Args:
        classifier: from uint8 images to logits; see ``automl_img.models.network.serving_model``.
        samples: uint8 (images, size, size, channels), none of them a test image.
        expected: probabilities that ``classifier`` gives for them.
        thresholds: see ``ExportedModel``; with them each class has a probability for itself.

    Raises:
        ExportError: the file, loaded again, predicts something else.
    """
    with replacing(path) as temporary:
        several = thresholds is not None
        with_probabilities(classifier, several).save(temporary)
        content: dict[str, Any] = {"class_names": class_names}
        content |= {"thresholds": list(thresholds)} if thresholds is not None else {}
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_CLASSES, json.dumps(content))
        check_parity(path, load_keras(temporary).predict(samples), expected)


def with_probabilities(classifier: Any, multi_label: bool = False) -> Any:
    """A model from uint8 images to probabilities, where ``classifier`` gives logits.

    Args:
        multi_label: whether the probability of each class is for itself.
    """
    import keras

    kind = "sigmoid" if multi_label else "softmax"
    probabilities = keras.layers.Activation(kind, dtype="float32", name="probabilities")
    return keras.Model(classifier.input, probabilities(classifier.output), name="automl_img")


def load_keras(path: Path) -> ExportedModel:
    """The model that ``export_keras`` wrote; code inside the file is refused.

    Raises:
        ExportError: it is no model of ours, or cannot be loaded.
    """
    import keras

    class_names, thresholds = _read_classes(path)
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
    return ExportedModel(model, class_names, thresholds)


def _read_classes(path: Path) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """The names of the classes and, if there, their thresholds."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(_CLASSES))
        names = tuple(str(name) for name in content["class_names"])
        if "thresholds" not in content:
            return names, None
        given = zip(names, content["thresholds"], strict=True)
        return names, tuple(float(each) for _, each in given)
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
