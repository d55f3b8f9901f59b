"""What class weights, oversampling and the focal loss bring on classes of very different sizes.

The 81 kinds of groceries of the Grocery Store Dataset, 7 to 59 training images each: one network
from scratch at 32 pixels, the same but for these three, from several seeds each. Trained for the
same epochs on the training images; the epoch with the best macro F1 on the validation images is
scored on the test images. Nothing is chosen on the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import frame
import numpy as np
import trials

GOAL = "one of the three has a higher macro F1 than none of them, in the mean of the seeds"
_SHARED = frame.FOLDER.parent.parent / "shared" / "data" / "grocery.zip"
_SIDE = 32
_EPOCHS, _SEEDS = 30, 3
_NETWORK = {
    "cnn__depth": "4",
    "cnn__filters": "32",
    "cnn__convolutions": "1",
    "head__pooling": "max",
    "label_smoothing": "0.1",
    "batch_size": "64",
    "early_stopping__patience": "1000",
}
_WAYS = {
    "none": {},
    "class weights 1": {"imbalance__class_weights": "1"},
    "oversampling 1": {"imbalance__oversampling": "1"},
    "focal loss, gamma 2": {"imbalance__focal_gamma": "2"},
}
_SCORES = ("macro_f1", "balanced_accuracy", "accuracy")


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    if not _SHARED.exists():
        frame.cannot_run("imbalance", GOAL, "there are no images beside the project")
        return
    seeds, epochs = (1, 2) if short else (_SEEDS, _EPOCHS)
    figures: dict[str, Any] = {"side": _SIDE, "epochs": epochs, "seeds": seeds}
    means = {}
    with frame.workspace() as folder:
        data = frame.Images(str(_SHARED), "Grocery Store Dataset, 81 classes")
        settings = {"image_size": _SIDE, "label_column": "label"}
        if short:
            settings["limit_per_class"] = 4
        ready = frame.prepared(data, **settings)
        test = ready.test.open()
        for name, typed in list(_WAYS.items())[: 2 if short else None]:
            found = [
                _scores(ready, test, folder / f"{len(figures)}-{seed}", typed, seed, epochs)
                for seed in range(seeds)
            ]
            for score in _SCORES:
                values = [each[score] for each in found]
                figures[f"{name}: {score}, mean"] = round(float(np.mean(values)), 3)
                figures[f"{name}: {score}"] = ", ".join(f"{value:.3f}" for value in values)
            means[name] = figures[f"{name}: macro_f1, mean"]
            print(name, means[name], flush=True)
    best = max(value for name, value in means.items() if name != "none")
    frame.finish("imbalance", figures, GOAL, best > means["none"], short)


def _scores(
    ready: Any, test: Any, folder: Path, typed: dict[str, str], seed: int, epochs: int
) -> dict[str, float]:
    """What a trial scores on the test images after its best epoch."""
    from automl_img.evaluation.scores import score
    from automl_img.training.graphs import GraphCache
    from automl_img.training.predict import predict_rows
    from automl_img.training.trainer import Trainer

    params = trials.params_of(augment__strength="0.5", **_NETWORK, **typed)
    spec = trials.spec_of(
        ready,
        folder,
        params,
        seed=seed,
        max_epochs=epochs,
        objective="val_macro_f1",
        keeps_best=True,
    )
    trainer = Trainer(spec, GraphCache())
    list(trainer.epochs())
    assert trainer.take_best_of(Path(spec.folder))
    probabilities = predict_rows(trainer.serving, test.images, np.arange(len(test.images)))
    found = score(test.labels, probabilities, ready.class_names)
    return {name: float(found[name]) for name in _SCORES}


if __name__ == "__main__":
    main()
