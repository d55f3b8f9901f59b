from __future__ import annotations

import json
from dataclasses import replace

import pytest

from automl_img import reproduce
from automl_img.errors import RunError
from automl_img.files import append_json_line
from automl_img.runs import Run
from automl_img.search import hardware
from automl_img.search.reproduce import TOLERANCE, Reproduction
from tests.pictures import class_folders
from tests.search.searches import small_search
from tests.search.spaces import record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("reproduced")
    photos = class_folders(folder / "photos", per_class=40)
    # With a thread each the sums have one order.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardware, "core_count", lambda: 2)
        return small_search(photos, folder / "runs", budget=3, workers=2)


@pytest.mark.slow
def test_a_trial_trained_again_gives_the_same_to_the_last_bit(run: Run) -> None:
    for number in [None, *(each.number for each in run.trials())]:
        found = reproduce(run.path, trial=number)
        assert found.identical
        assert found.holds
        assert found.others == ()
        assert found.exact
        assert len(found.again) == len(found.record.epochs)
        assert "to the last bit" in found.sentence


@pytest.mark.slow
def test_a_record_that_was_not_trained_so_does_not_hold_and_the_reason_may_be_a_version(
    run: Run,
) -> None:
    last = run.trials()[-1]
    epochs = tuple(replace(each, val_accuracy=0.01) for each in last.epochs)
    append_json_line(run.path / "trials.jsonl", replace(last, epochs=epochs).to_json())
    info = json.loads((run.path / "run.json").read_text())
    info["machines"][0]["versions"]["keras"] = "3.0"
    run.write_json("run.json", info)
    try:
        found = reproduce(run.path, trial=last.number)
    finally:
        append_json_line(run.path / "trials.jsonl", last.to_json())
    assert not found.identical
    assert not found.holds
    assert any(other.startswith("keras 3.0 -> ") for other in found.others)
    assert f"more than the {TOLERANCE}" in found.sentence


@pytest.mark.slow
def test_a_trial_that_is_not_there_is_refused_and_names_those_that_are(run: Run) -> None:
    with pytest.raises(RunError, match=r"no trial 99 .* its trials: 0, 1, 2"):
        reproduce(run.path, trial=99)


def test_another_order_of_sums_may_make_a_little() -> None:
    one, near, far = (record(0, (value,)) for value in (0.8, 0.8 + TOLERANCE / 2, 0.9))
    close = Reproduction(one, near.epochs, ("keras 3.0 -> 3.1",), exact=False)
    assert not close.identical
    assert close.holds
    assert not Reproduction(one, far.epochs, (), exact=False).holds


def test_on_the_same_machine_with_one_thread_each_bit_must_be_the_same() -> None:
    one, near = (record(0, (value,)) for value in (0.8, 0.8 + TOLERANCE / 2))
    assert Reproduction(one, one.epochs, (), exact=True).holds
    close = Reproduction(one, near.epochs, (), exact=True)
    assert not close.holds
    assert "each bit should be the same" in close.sentence
