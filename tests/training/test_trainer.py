from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from automl_img.errors import Diverged
from automl_img.metrics import score
from automl_img.training.checkpoint import validation_of
from automl_img.training.inputs import PixelInputs
from automl_img.training.predict import predict_rows
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialRecord, TrialSpec, TrialState
from tests.training.trials import curve, train, with_


def test_separable_pictures_are_learned_and_each_epoch_tells_how(spec: TrialSpec) -> None:
    trainer = Trainer(with_(spec, max_epochs=6))
    results = list(trainer.epochs())
    assert [each.epoch for each in results] == [1, 2, 3, 4, 5, 6]
    assert max(each.val_accuracy or 0 for each in results) > 0.9
    assert results[-1].loss < results[0].loss
    assert all(each.seconds > 0 for each in results)
    rates = [each.learning_rate for each in results]
    assert rates == sorted(rates, reverse=True)
    assert trainer.stop_reason == "finished"
    assert trainer.parameters == trainer.serving.count_params() > 0
    assert trainer.ms_per_image is not None
    # What was measured is what the model still predicts.
    with np.load(spec.rows) as rows:
        validation, labels = rows["validation"], rows["labels"]
    predicted = predict_rows(trainer.serving, trainer.data.images, validation)
    assert predicted.shape == (60, 3)
    assert predicted.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-5)
    assert (predicted.argmax(1) == labels[validation]).mean() == results[-1].val_accuracy
    chosen = predicted[np.arange(60), labels[validation]]
    assert -np.log(chosen).mean() == pytest.approx(results[-1].val_loss, abs=1e-5)
    assert not (Path(spec.folder) / "checkpoint.npz").exists()


def test_a_seed_gives_the_same_losses_again_and_zero_is_a_seed(spec: TrialSpec) -> None:
    once = curve(train(with_(spec, max_epochs=2)))
    other = curve(train(with_(spec, seed=1, max_epochs=2)))
    assert once != other
    # The trial between has left no trace in any random state.
    assert once == curve(train(with_(spec, max_epochs=2)))


def test_the_kept_predictions_are_those_of_the_best_epoch(spec: TrialSpec) -> None:
    kept: list[np.ndarray] = []
    best = []
    trainer = Trainer(with_(spec, max_epochs=6))
    for _ in trainer.epochs():
        found = validation_of(Path(spec.folder))
        assert found is not None
        kept.append(found)
        record = TrialRecord(
            0, TrialState.PRUNED, "", {}, 0, 0.0, 1.0, epochs=tuple(trainer.results)
        )
        assert record.best is not None
        best.append(record.best)
        labels = trainer.data.labels[trainer.data.validation]
        chosen = kept[-1][np.arange(len(labels)), labels]
        assert (kept[-1].argmax(1) == labels).mean() == record.best.val_accuracy
        # The accuracy is 1 in more than one epoch: the loss tells them apart.
        assert -np.log(chosen).mean() == pytest.approx(record.best.val_loss, abs=1e-5)
    ties = [each.val_accuracy for each in trainer.results].count(1.0)
    assert ties > 1
    assert len({each.epoch for each in best}) > 1


def test_patience_ends_a_trial_that_gets_no_better(spec: TrialSpec) -> None:
    # At this rate nothing is learned, so the first epoch stays the best.
    patient = with_(
        spec,
        max_epochs=9,
        fix={"optimizer__learning_rate": "1e-6", "early_stopping__patience": "2"},
        learning_rates=(1e-12,),
    )
    trainer = Trainer(patient)
    results = list(trainer.epochs())
    assert (len(results), trainer.stop_reason) == (3, "early stopping")
    assert not (Path(spec.folder) / "checkpoint.npz").exists()


@pytest.mark.slow
def test_class_weights_enter_the_loss(spec: TrialSpec) -> None:
    rare = few_of_one_class(spec)
    one = with_(rare, max_epochs=1, learning_rates=(1e-12,), fix={"augment__strength": "0"})
    plain = train(one)[0]
    fix = {"augment__strength": "0", "imbalance__class_weights": "1"}
    weighted = train(with_(one, fix=fix))[0]
    assert weighted.loss != pytest.approx(plain.loss, rel=1e-3)
    # Validation is never weighted, so that trials compare.
    assert weighted.val_loss == pytest.approx(plain.val_loss, rel=1e-5)


def few_of_one_class(spec: TrialSpec) -> TrialSpec:
    """The trial with 4 training images of the first class."""
    with np.load(spec.rows) as arrays:
        rows = dict(arrays)
    first = rows["train"][rows["labels"][rows["train"]] == 0]
    rows["train"] = np.setdiff1d(rows["train"], first[4:])
    fewer = Path(spec.folder).with_name("fewer.npz")
    np.savez(fewer, **rows)
    return with_(spec, rows=str(fewer))


@pytest.mark.parametrize("name", ["val_balanced_accuracy", "val_macro_f1", "val_auc", "val_loss"])
def test_the_best_epoch_is_that_of_the_objective(spec: TrialSpec, name: str) -> None:
    trainer = Trainer(with_(spec, objective=name, max_epochs=3))
    results = list(trainer.epochs())
    labels = trainer.data.labels_to_validate
    best = max(results, key=lambda result: result.quality)
    kept = validation_of(Path(spec.folder))
    assert kept is not None
    assert best.score == pytest.approx(score(name, kept, labels))
    assert best.score == max(result.score or 0.0 for result in results)
    if name == "val_loss":
        assert best.val_loss == min(result.val_loss or np.inf for result in results)


@pytest.mark.parametrize(
    "fix",
    [{"imbalance__class_weights": "1"}, {"imbalance__oversampling": "1"}],
    ids=["class weights", "oversampling"],
)
def test_a_rare_class_is_learnt_with_what_is_there_for_it(
    spec: TrialSpec, fix: dict[str, str]
) -> None:
    rare = few_of_one_class(spec)

    def recall(own: dict[str, str]) -> float:
        trainer = Trainer(with_(rare, max_epochs=4, fix={"augment__strength": "0", **own}))
        list(trainer.epochs())
        labels = trainer.data.labels_to_validate
        given = predict_rows(trainer.serving, trainer.data.images, trainer.data.validation)
        return float(given[labels == 0, 0].mean())

    assert recall(fix) > recall({}) + 0.05


def test_training_on_all_uses_every_row_and_validates_nothing(spec: TrialSpec) -> None:
    all_rows = with_(spec, train_on_all=True, max_epochs=2, learning_rates=(0.01, 0.002))
    trainer = Trainer(all_rows)
    batches = PixelInputs(all_rows, trainer.data).batches(0)
    assert len(batches) == 180 // 16
    seen = {image.tobytes() for n in range(11) for image in batches.batch(0, n)[0]}
    assert len(seen) == 11 * 16
    results = list(trainer.epochs())
    assert [(each.val_loss, each.val_accuracy) for each in results] == [(None, None)] * 2
    assert [each.learning_rate for each in results] == [0.01, 0.002]
    assert trainer.ms_per_image is None
    assert list(Path(spec.folder).glob("*")) == []


@pytest.mark.parametrize("rates", [(0.01, 1e20), (1e38,)], ids=["second epoch", "last step"])
def test_a_loss_that_is_no_number_ends_the_trial_with_epoch_and_rate(
    spec: TrialSpec, rates: tuple[float, ...]
) -> None:
    fix = {"optimizer__name": "sgd", "cnn__batch_normalization": "false"}
    if len(rates) == 1:
        # One step an epoch: only the validation shows what it did.
        fix["batch_size"] = "120"
    trainer = Trainer(with_(spec, fix=fix, learning_rates=rates))
    with pytest.raises(Diverged, match=rf"in epoch {len(rates)} \(learning rate 1e\+") as caught:
        list(trainer.epochs())
    assert caught.value.reason == "diverged"
    assert len(trainer.results) == len(rates) - 1
    assert all(np.isfinite(each.loss) for each in trainer.results)


def test_a_deadline_ends_a_trial_in_the_midst_of_an_epoch(spec: TrialSpec) -> None:
    trainer = Trainer(with_(spec, max_epochs=6, deadline=time.time() - 1))
    assert list(trainer.epochs()) == []
    assert trainer.stop_reason == "budget"


def test_a_retraining_without_time_has_the_model_that_its_trial_had_at_its_best(
    spec: TrialSpec, tmp_path: Path
) -> None:
    first = Trainer(with_(spec, max_epochs=4, keeps_best=True))
    results = list(first.epochs())
    best = max(results, key=lambda result: result.quality)
    expected = validation_of(Path(spec.folder))
    assert expected is not None
    late = with_(
        spec,
        max_epochs=4,
        train_on_all=True,
        folder=str(tmp_path / "winner"),
        deadline=time.time() - 1,
        least_epochs=1,
    )
    again = Trainer(late)
    assert list(again.epochs()) == []
    assert again.stop_reason == "budget"
    assert again.take_best_of(Path(spec.folder))
    validation = first.data.validation
    found = predict_rows(again.serving, again.data.images, validation)
    assert found == pytest.approx(expected, abs=1e-4)
    right = (found.argmax(1) == again.data.labels[validation]).mean()
    assert right == best.val_accuracy


def test_without_kept_weights_a_retraining_keeps_its_own(spec: TrialSpec, tmp_path: Path) -> None:
    trainer = Trainer(with_(spec, max_epochs=1))
    assert not trainer.take_best_of(tmp_path / "nothing")
