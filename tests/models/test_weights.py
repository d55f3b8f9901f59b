from __future__ import annotations

import shutil
import urllib.request
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from automl_img.errors import WeightsError
from automl_img.models.hypermodel import ImageClassifier, bind
from automl_img.models.network import ImageFacts
from automl_img.models.pretrained import Variant, application
from automl_img.models.weights import find_variant, imagenet, weights_of_space
from tests.models.networks import floats, noise, params_of, space_of

NAME = "mobilenet_v3_small"


def variant_of(name: str) -> Variant:
    variant = find_variant(name)
    assert variant is not None
    return variant


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the smallest network, without its top, as Keras writes them."""
    keras.utils.set_random_seed(7)
    path = tmp_path_factory.mktemp("weights") / "mine.weights.h5"
    application(variant_of(NAME), 32).save_weights(path)
    keras.backend.clear_session()
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras cache and a network where every connection is refused."""
    home = tmp_path / "keras"
    home.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))
    # Keras read the variable when it was imported.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(home))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)
    return home


def test_a_file_of_weights_is_loaded_into_the_backbone(saved: Path) -> None:
    facts = ImageFacts(32, 3, 3, flips=True)
    params = params_of(backbone=NAME, weights=str(saved), head__dropout="0")
    one = ImageClassifier(facts, weights=str(saved), seed=1).build(bind(params))
    two = ImageClassifier(facts, weights=str(saved), seed=2).build(bind(params))
    images = noise(2, 32).astype("float32")

    def features(model: object) -> np.ndarray:
        backbone = model.get_layer("backbone")  # type: ignore[attr-defined]
        return floats(backbone(images, training=False))

    network = application(variant_of(NAME), 32)
    network.load_weights(saved)
    expected = floats(network(images, training=False))
    assert np.array_equal(features(one), expected)
    assert np.array_equal(features(two), expected)
    keras.backend.clear_session()


def test_a_file_is_tried_before_the_first_trial(saved: Path, tmp_path: Path) -> None:
    space = space_of(backbone=NAME, weights=str(saved))
    assert weights_of_space(space, None) == {(NAME, str(saved)): str(saved)}
    text = tmp_path / "text.weights.h5"
    text.write_text("no weights")
    empty = tmp_path / "empty.h5"
    empty.touch()
    torn = tmp_path / "torn.weights.h5"
    torn.write_bytes(saved.read_bytes()[:100_000])
    archive = tmp_path / "model.keras"
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("config.json", "{}")
    plain = tmp_path / "broken.keras"
    plain.write_text("no archive")
    other = shutil.copy(saved, tmp_path / "weights.bin")
    for path in (text, empty, torn, archive, plain, Path(other)):
        wrong = space_of(backbone=NAME, weights=str(path))
        with pytest.raises(WeightsError, match=f"must be those of {NAME}") as caught:
            weights_of_space(wrong, None)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_weights_of_another_network_are_refused(saved: Path) -> None:
    for name in ("mobilenet_v2", "vgg16"):
        with (
            warnings.catch_warnings(action="error"),
            pytest.raises(WeightsError, match=f"those of {name} without its top; Keras says"),
        ):
            weights_of_space(space_of(backbone=name, weights=str(saved)), None)
    keras.backend.clear_session()


def test_from_scratch_no_weights_are_asked_for(offline: Path) -> None:
    assert weights_of_space(space_of(backbone="cnn"), None) == {}
    assert weights_of_space(space_of(backbone="resnet50", weights="none"), None) == {}
    assert find_variant("cnn") is None


def test_a_folder_of_weights_comes_before_the_cache_of_keras(
    offline: Path, saved: Path, tmp_path: Path
) -> None:
    name = variant_of(NAME).weights_file
    cache = offline / "models"
    cache.mkdir()
    shutil.copy(saved, cache / name)
    mine = tmp_path / "mine"
    mine.mkdir()
    assert imagenet(variant_of(NAME), None) == cache / name
    assert imagenet(variant_of(NAME), str(mine)) == cache / name
    shutil.copy(saved, mine / name)
    assert imagenet(variant_of(NAME), str(mine)) == mine / name
    space = space_of({"backbone": f"cnn,{NAME}"}, weights="imagenet")
    assert weights_of_space(space, str(mine)) == {(NAME, "imagenet"): str(mine / name)}


def test_a_relative_folder_gives_absolute_paths(
    offline: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent)
    shutil.copy(saved, saved.parent / variant_of(NAME).weights_file)
    assert imagenet(variant_of(NAME), ".").is_absolute()


def test_a_download_that_was_cut_short_is_no_weights_file(
    offline: Path, saved: Path, tmp_path: Path
) -> None:
    name = variant_of(NAME).weights_file
    (offline / "models").mkdir()
    (offline / "models" / name).write_bytes(saved.read_bytes()[:100_000])
    # Keras compares its checksum, and would fetch it again.
    with pytest.raises(WeightsError, match="the download failed"):
        imagenet(variant_of(NAME), None)
    (tmp_path / name).write_bytes(saved.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="must be a whole HDF5 file; copy it there again"):
        imagenet(variant_of(NAME), str(tmp_path))


def test_without_network_the_run_stops_with_what_to_do(offline: Path) -> None:
    space = space_of({"backbone": f"cnn,{NAME}"})
    with pytest.raises(WeightsError) as caught:
        weights_of_space(space, None)
    said = str(caught.value)
    assert said.startswith(f"the ImageNet weights of {NAME} cannot be had")
    assert variant_of(NAME).weights_file in said
    for way_out in ("--weights-dir", "--fix weights=none", "another backbone"):
        assert way_out in said
    assert "\n" not in said
    assert "://" not in said


def test_without_network_no_trial_and_no_run_is_started(
    offline: Path, photos: Path, tmp_path: Path
) -> None:
    from automl_img.search import study

    out = tmp_path / "runs"
    with pytest.raises(WeightsError, match="cannot be had"):
        study.search(photos, space="pretrained", budget=1, out=str(out), image_size=32)
    assert list(out.rglob("*")) == []
