"""What a node of a cluster has of a search, with the driver's files beside it in place of Ray."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from automl_img.data.cache import built_once
from automl_img.errors import SettingsError
from automl_img.search import shipping
from automl_img.search.file_server import FileServer, digest_of_file
from automl_img.search.hardware import describe_versions
from automl_img.search.node_features import NodeFeatures
from automl_img.search.shipping import NodeFiles, Shipping
from automl_img.trials import TrialSpec

TOKEN = "a" * 32


class Direct:
    """An actor whose methods answer at once."""

    def __init__(self, server: FileServer) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._server, name)
        return type("Method", (), {"remote": staticmethod(method)})


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with two trials, pixels and weights."""
    run = tmp_path / "driver" / "run"
    for number in (1, 2):
        (run / "trials" / f"0000{number}").mkdir(parents=True)
        (run / "trials" / f"0000{number}" / "checkpoint.npz").write_bytes(b"%d" % number)
    (run / "rows.npz").write_bytes(b"rows")

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "images.npy").write_bytes(b"pixels")
        return {"sizes": {"images.npy": 6}}

    built_once(run.parent / "pixels" / "key", fill)
    (run.parent / "weights.h5").write_bytes(b"weights")
    server = FileServer(str(run), [str(run.parent / "pixels"), str(run.parent / "weights.h5")])
    monkeypatch.setattr(shipping.ray, "get", lambda answer: answer)
    monkeypatch.setattr(shipping.ray, "get_actor", lambda name: Direct(server))
    return run


def spec(driver: Path, folder: str = "trials/00001", **more: Any) -> TrialSpec:
    beside = driver.parent
    return TrialSpec(
        number=1,
        params={},
        seed=0,
        max_epochs=1,
        pixels=str(beside / "pixels" / "key"),
        rows=str(driver / "rows.npz"),
        train_on_all=False,
        class_names=(),
        flips=True,
        folder=str(driver / folder),
        weights=str(beside / "weights.h5"),
        features=str(beside / "features"),
        **more,
    )


def files(driver: Path, **versions: str) -> NodeFiles:
    told = json.dumps({**describe_versions(), **versions})
    return NodeFiles(Shipping(str(driver), TOKEN, told))


def names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_all_that_a_trial_reads_is_brought_to_the_cache_of_the_node(
    driver: Path, private_cache: Path
) -> None:
    asked = spec(driver)
    found = files(driver).local(asked)
    assert Path(found.rows).read_bytes() == b"rows"
    assert (Path(found.folder) / "checkpoint.npz").read_bytes() == b"1"
    assert found.features == str(private_cache / "features")
    # What is the same by its content is used where it lies.
    assert (found.pixels, found.weights) == (asked.pixels, asked.weights)


def test_pixels_that_the_node_does_not_see_are_brought_once(
    driver: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = spec(driver)
    look = shipping.read_meta
    monkeypatch.setattr(
        shipping, "read_meta", lambda folder: None if str(folder) == asked.pixels else look(folder)
    )
    found = files(driver).local(asked)
    assert found.pixels == str(private_cache / "pixels" / "key")
    assert (Path(found.pixels) / "images.npy").read_bytes() == b"pixels"
    (Path(asked.pixels) / "images.npy").write_bytes(b"others")
    assert files(driver).local(asked).pixels == found.pixels
    assert (Path(found.pixels) / "images.npy").read_bytes() == b"pixels"


def test_weights_of_the_same_path_and_size_with_another_content_are_not_taken(
    driver: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest_of_file.cache_clear()
    here = shipping.digest_of_file
    # As if the node had an older file there.
    monkeypatch.setattr(shipping, "digest_of_file", lambda path: "older")
    found = files(driver).local(spec(driver))
    assert found.weights is not None
    assert Path(found.weights).is_relative_to(private_cache / "shipped")
    assert Path(found.weights).read_bytes() == b"weights"
    assert here(found.weights) == here(str(driver.parent / "weights.h5"))


def test_what_changes_is_sent_and_what_is_removed_is_removed(driver: Path) -> None:
    node = files(driver)
    folder = Path(node.local(spec(driver)).folder)
    (folder / "best.npz").write_bytes(b"best")
    (folder / ".half").write_bytes(b"no")
    node.send()
    assert names(driver / "trials" / "00001") == ["best.npz", "checkpoint.npz"]
    (folder / "checkpoint.npz").unlink()
    (folder / "best.npz").write_bytes(b"better")
    node.send()
    assert names(driver / "trials" / "00001") == ["best.npz"]
    assert (driver / "trials" / "00001" / "best.npz").read_bytes() == b"better"


def test_what_a_process_that_died_has_left_is_not_of_the_next_trial_there(driver: Path) -> None:
    (driver / "winner").mkdir()
    first = files(driver)
    left = Path(first.local(spec(driver, "winner")).folder)
    (left / "checkpoint.npz").write_bytes(b"of another finalist")
    second = files(driver)
    folder = Path(second.local(spec(driver, "winner")).folder)
    assert names(folder) == []
    (folder / "trial.json").write_bytes(b"{}")
    second.send()
    assert names(driver / "winner") == ["trial.json"]


def test_a_retraining_has_the_folders_that_it_goes_on_from(driver: Path) -> None:
    (driver / "winner").mkdir()
    trial = str(driver / "trials" / "00002")
    found = files(driver).local(spec(driver, "winner", instead=trial, goes_on_from=trial))
    assert found.instead == found.goes_on_from
    assert found.instead is not None
    assert (Path(found.instead) / "checkpoint.npz").read_bytes() == b"2"


def test_the_folder_of_the_trial_before_goes(driver: Path) -> None:
    node = files(driver)
    first = Path(node.local(spec(driver)).folder)
    node.local(spec(driver, "trials/00002"))
    assert not first.exists()


def test_folders_of_a_long_search_stay_and_those_of_one_that_is_over_go(
    driver: Path, private_cache: Path
) -> None:
    node = files(driver)
    folder = Path(node.local(spec(driver)).folder)
    root = private_cache / "trials" / TOKEN
    other = private_cache / "trials" / "other"
    other.mkdir()
    for old in (root, other):
        os.utime(old, (time.time() - 10**6,) * 2)
    # Another process of the same search.
    files(driver)
    assert folder.exists()
    assert not other.exists()
    node.send()
    assert root.stat().st_mtime > time.time() - 60
    assert names(driver / "trials" / "00001") == ["checkpoint.npz"]


def test_a_node_that_sees_the_run_folder_reads_and_writes_there(driver: Path) -> None:
    (driver / ".driver").write_text(TOKEN)
    node, asked = files(driver), spec(driver)
    found = node.local(asked)
    assert dataclasses.replace(found, features=asked.features) == asked
    (driver / "trials" / "00001" / "checkpoint.npz").unlink()
    node.send()
    assert names(driver / "trials" / "00001") == []


def test_features_of_earlier_searches_are_told_as_a_node_begins(
    driver: Path, private_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeFeatures, "_node", "a")
    (private_cache / "features").mkdir()
    (private_cache / "features" / "key.json").write_text('{"shape": [8]}')
    files(driver)
    server = shipping.ray.get_actor(TOKEN)
    assert server.notes.remote("key") == {"a": {"shape": [8]}}


def test_what_a_process_was_at_as_it_hung_is_told_by_the_next_one_on_the_node(
    driver: Path, private_cache: Path
) -> None:
    hung = private_cache / "trials" / TOKEN / "trials" / "00001" / "hang.txt"
    hung.parent.mkdir(parents=True)
    hung.write_text("Thread 1")
    files(driver)
    assert (driver / "trials" / "00001" / "hang.txt").read_text() == "Thread 1"
    assert not hung.exists()


def test_a_node_that_joins_with_other_versions_trains_nothing(driver: Path) -> None:
    with pytest.raises(SettingsError, match=r"every node must have keras 2\.0, as the driver has"):
        files(driver, keras="2.0")
