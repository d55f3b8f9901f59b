from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from automl_img.errors import ExportError
from automl_img.export.keras import ExportedModel, export_keras, load_keras, with_probabilities
from automl_img.export.parity import TOLERANCE, check_parity
from automl_img.training.predict import predict_rows
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialSpec
from tests.training.trials import CLASSES, with_, write_pixels

STRONG = {
    "augment__strength": "1",
    "augment__rotation": "0.5",
    "augment__horizontal_flip": "true",
    "head__dropout": "0.9",
    "regularization__l2": "0.01",
    "label_smoothing": "0.2",
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """The classifier, the graph in which it was trained, images of those, the probabilities that
    the graph gives, and the export."""

    classifier: Any
    trained: Any
    images: np.ndarray
    expected: np.ndarray
    path: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    spec: TrialSpec = with_(write_pixels(folder, per_class=30), max_epochs=2, fix=STRONG)
    trainer = Trainer(spec)
    list(trainer.epochs())
    images = np.asarray(trainer.data.images[:40])
    # Of the graph that was trained, not of what is exported.
    expected = predict_rows(trainer.model, trainer.data.images, np.arange(40))
    path = folder / "deep" / "model.keras"
    export_keras(trainer.serving, CLASSES, path, images, expected)
    return Exported(trainer.serving, trainer.model, images, expected, path)


def changed(source: Path, target: Path, **members: bytes | None) -> Path:
    """A copy of an archive with other members (None leaves one out); ``_`` stands for a point."""
    new = {name.replace("__", "."): content for name, content in members.items()}
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in {*archive.namelist(), *new}:
            content = new[name] if name in new else archive.read(name)
            if content is not None:
                copy.writestr(name, content)
    return target


def layers_in(model: Any) -> list[Any]:
    found = []
    for layer in model.layers:
        found += [layer, *layers_in(layer)] if hasattr(layer, "layers") else [layer]
    return found


def test_the_file_loaded_again_predicts_what_was_trained(exported: Exported) -> None:
    loaded = load_keras(exported.path)
    assert isinstance(loaded, ExportedModel)
    assert loaded.class_names == CLASSES
    assert (loaded.image_size, loaded.channels) == (16, 3)
    found = loaded.predict(exported.images)
    assert (found.dtype, found.shape) == (np.float32, (40, 3))
    assert np.abs(found - exported.expected).max() < 1e-6
    assert found.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    # Each image alone gives what it gives in a batch of another size.
    alone = np.concatenate([loaded.predict(exported.images[row : row + 1]) for row in range(3)])
    assert np.abs(alone - found[:3]).max() < 1e-6


def test_the_exported_model_takes_uint8_and_nothing_is_left_of_training(exported: Exported) -> None:
    model = load_keras(exported.path).model
    assert model.input.dtype == "uint8"
    kinds = {type(layer).__name__ for layer in layers_in(model)}
    assert "Rescaling" in kinds
    assert {kind for kind in kinds if kind.startswith(("Random", "Gaussian"))} == set()
    assert kinds & {"Augmentation", "Dropout"} == set()
    inside = {type(layer).__name__ for layer in layers_in(exported.trained)}
    assert {"Augmentation", "Dropout"} <= inside
    # All of its layers are Keras's own: who loads it needs nothing of ours.
    assert {type(layer).__module__.split(".")[0] for layer in layers_in(model)} == {"keras"}
    assert not model.compiled


def test_the_file_is_plain_keras_that_others_can_load(exported: Exported) -> None:
    model = keras.models.load_model(exported.path)
    assert np.abs(model.predict(exported.images, verbose=0) - exported.expected).max() < 1e-6
    assert [path.name for path in exported.path.parent.iterdir()] == ["model.keras"]


@pytest.mark.parametrize(
    "names",
    [
        ("a/b", 'quote"', "<script>alert(1)</script>"),
        ("", " ", "\n"),
        ("été 猫", "\udcff", "x" * 3000),
        ("1", "true", "null"),
    ],
)
def test_class_names_survive_whatever_they_are(
    exported: Exported, tmp_path: Path, names: tuple[str, ...]
) -> None:
    path = tmp_path / "model.keras"
    export_keras(exported.classifier, names, path, exported.images, exported.expected)
    assert load_keras(path).class_names == names


@pytest.mark.parametrize("off", [1e-3, np.nan], ids=["another prediction", "no number"])
def test_a_file_that_predicts_otherwise_is_not_kept(
    exported: Exported, tmp_path: Path, off: float
) -> None:
    expected = exported.expected.copy()
    expected[7, 1] += off
    (tmp_path / "model.keras").write_bytes(b"an older export")
    with pytest.raises(ExportError, match=r"within 0\.0001, but model\.keras differs by"):
        export_keras(
            exported.classifier, CLASSES, tmp_path / "model.keras", exported.images, expected
        )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an older export"]
    with pytest.raises(ExportError):
        export_keras(
            exported.classifier, CLASSES, tmp_path / "new.keras", exported.images, expected
        )
    assert not (tmp_path / "new.keras").exists()


def test_parity_allows_rounding_and_no_more() -> None:
    one = np.full((2, 3), 1 / 3, np.float32)
    check_parity(Path("x"), one + 0.9 * TOLERANCE, one)
    check_parity(Path("x"), one[:0], one[:0])
    with pytest.raises(ExportError):
        check_parity(Path("x"), one + 1.1 * TOLERANCE, one)


@pytest.mark.parametrize("thresholds", [[], [0.5], "", 0, {"a": 1}, ["x", "y", "z"], None])
def test_odd_thresholds_are_refused(exported: Exported, thresholds: object, tmp_path: Path) -> None:
    content = json.dumps({"class_names": CLASSES, "thresholds": thresholds}).encode()
    path = changed(exported.path, tmp_path / "m.keras", automl_img__json=content)
    with pytest.raises(ExportError, match="cannot be loaded"):
        load_keras(path)


def test_a_model_put_together_wrong_is_refused(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def softened(classifier: Any, multi_label: bool) -> Any:
        logits = keras.layers.Rescaling(0.5)(classifier.output)
        return keras.Model(classifier.input, keras.layers.Softmax()(logits))

    monkeypatch.setattr("automl_img.export.keras.with_probabilities", softened)
    with pytest.raises(ExportError, match="differs by"):
        export_keras(
            exported.classifier, CLASSES, tmp_path / "m.keras", exported.images, exported.expected
        )


def test_serving_changes_no_weight(exported: Exported) -> None:
    before = [np.array(weight) for weight in exported.classifier.get_weights()]
    with_probabilities(exported.classifier)
    after = exported.classifier.get_weights()
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_code_inside_a_file_is_refused(tmp_path: Path) -> None:
    pixels = keras.Input((16, 16, 3), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(pixels))
    code = keras.layers.Lambda(lambda x: x[:, :3], output_shape=(3,))
    keras.Model(pixels, code(flat)).save(tmp_path / "plain.keras")
    names = json.dumps({"class_names": CLASSES}).encode()
    path = changed(tmp_path / "plain.keras", tmp_path / "lambda.keras", automl_img__json=names)
    with pytest.raises(ExportError, match="cannot be loaded") as caught:
        load_keras(path)
    assert re.search("lambda|unsafe|arbitrary code", str(caught.value), re.IGNORECASE)
    assert "\n" not in str(caught.value)


def text_file(exported: Path, path: Path) -> None:
    path.write_text("no model")


def zip_of_others(exported: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"\xff\xd8")


def half(exported: Path, path: Path) -> None:
    path.write_bytes(exported.read_bytes()[:20_000])


def flipped(exported: Path, path: Path) -> None:
    content = bytearray(exported.read_bytes())
    content[200:5000] = bytes(4800)
    path.write_bytes(content)


def with_members(**members: bytes | None) -> Callable[[Path, Path], object]:
    return lambda exported, path: changed(exported, path, **members)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda exported, path: None, "there is no model .*; export one with: automl-img export"),
        (lambda exported, path: path.mkdir(), "cannot be loaded: .*directory"),
        (text_file, "cannot be loaded: File is not a zip file"),
        (half, "cannot be loaded: File is not a zip file"),
        (flipped, "cannot be loaded"),
        (zip_of_others, "holds no class names: it was not exported by automl-img"),
        (with_members(automl_img__json=None), "holds no class names"),
        (with_members(automl_img__json=b"{}"), "holds no class names"),
        (with_members(automl_img__json=b"[1]"), "cannot be loaded"),
        (with_members(automl_img__json=b"{"), "cannot be loaded"),
        (with_members(automl_img__json=b'{"class_names": null}'), "cannot be loaded"),
        (
            with_members(automl_img__json=b'{"class_names": ["a"]}'),
            "has 3 outputs and names 1 classes",
        ),
        (with_members(config__json=None), "cannot be loaded"),
        (with_members(config__json=b"{}"), "cannot be loaded"),
        (with_members(config__json=b'{"class_name": "zz"}'), "cannot be loaded"),
        (with_members(model__weights__h5=b"no weights"), "cannot be loaded"),
    ],
)
def test_what_is_no_model_of_ours_is_one_sentence(
    exported: Exported, tmp_path: Path, make: Callable[[Path, Path], object], rule: str
) -> None:
    path = tmp_path / "model.keras"
    make(exported.path, path)
    with pytest.raises(ExportError, match=rule) as caught:
        load_keras(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_strange_configuration_is_one_sentence_wherever_keras_stumbles(
    exported: Exported, tmp_path: Path
) -> None:
    with zipfile.ZipFile(exported.path) as archive:
        config = archive.read("config.json").decode()
    for key in sorted(set(re.findall(r'"(\w+)"', config)))[::3]:
        other = config.replace(f'"{key}"', '"zz"').encode()
        path = changed(exported.path, tmp_path / "model.keras", config__json=other)
        try:
            load_keras(path)
        except ExportError as error:
            assert "\n" not in str(error)  # noqa: PT017
