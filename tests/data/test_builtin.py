from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from automl_img.data.listing import Columns, listing_of
from automl_img.data.sources import builtin
from automl_img.errors import DataError
from automl_img.events import Event, Notice
from tests.data.listings import listed


def test_the_digits_are_those_of_scikit_learn(private_cache: Path) -> None:
    found = listed("digits", private_cache)
    assert len(found.paths) == 1797
    assert found.classes == tuple("0123456789")


def fake_keras(monkeypatch: pytest.MonkeyPatch, load: Callable[[], object]) -> None:
    # Importing Keras takes seconds, and its data sets need a network.
    datasets = SimpleNamespace(fashion_mnist=SimpleNamespace(load_data=load))
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(datasets=datasets))


def test_a_downloaded_set_keeps_its_test_split_and_is_downloaded_once(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def load() -> object:
        calls.append(1)
        print("Downloading")
        images = np.arange(30 * 28 * 28).reshape(30, 28, 28).astype(np.uint8)
        labels = np.arange(30).astype(np.uint8) % 10
        return (images[:20], labels[:20]), (images[20:], labels[20:])

    fake_keras(monkeypatch, load)
    for _ in range(2):
        found = listed("fashion_mnist", private_cache)
    assert calls == [1]
    assert found.splits is not None
    assert (found.splits.count("train"), found.splits.count("test")) == (20, 10)
    assert (found.name, found.kind) == ("fashion_mnist", "builtin")
    assert "ankle boot" in found.classes
    assert capsys.readouterr().out == ""


def test_a_set_that_cannot_be_downloaded_is_one_sentence(
    private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> object:
        raise Exception("URL fetch failure: no such host\nmore")

    fake_keras(monkeypatch, load)
    with pytest.raises(DataError, match=r"no such host\); connect to the network.*'digits'"):
        listed("fashion_mnist", private_cache)
    assert not list((private_cache / "builtin").glob("*/"))


def test_every_class_of_a_built_in_set_has_a_name_of_its_own() -> None:
    counts = {name: len(set(names)) for name, names in builtin.CLASSES.items()}
    assert counts == {
        "digits": 10,
        "mnist": 10,
        "fashion_mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
    }


def test_a_built_in_name_comes_before_a_folder_and_says_so(
    photos: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.rename(photos.parent / "digits")
    monkeypatch.chdir(photos.parent)
    events: list[Event] = []
    assert listing_of("digits", Columns(), private_cache, events.append).kind == "builtin"
    assert any("say ./digits" in event.text for event in events if isinstance(event, Notice))
    assert listed("./digits", private_cache).kind == "folder"
