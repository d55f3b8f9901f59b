"""Search a classifier from Python, read its scores, and classify images with it.

    python examples/search_folder.py [DATA]

DATA is whatever ``automl-img search`` takes; without it the built-in digits are used, which takes
about a minute on two cores.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from automl_img import Run, load_run, predict, search
from automl_img.events import Event, TrialEnded


def tell(event: Event) -> None:
    """One line for each trial that ends; any function that takes events can listen."""
    if isinstance(event, TrialEnded):
        best = event.record.best
        accuracy = "no epoch" if best is None else f"{best.val_accuracy:.3f}"
        print(f"trial {event.record.number}: {event.record.stop_reason}, {accuracy}")


def main(data: str = "digits", **settings: Any) -> Run:
    """A short search, what it found, and the model at work on images of the report.

    Args:
        settings: change the search; see ``automl_img.settings.SearchSettings``.
    """
    short = {"space": "cnn_small", "budget": 4, "max_epochs": 8}
    run = search(data, listener=tell, **{**short, **settings})

    scores = load_run(run.path).read_json("test.json") or {}
    print(f"test accuracy {scores['accuracy']:.3f}; report: {run.report}; model: {run.model}")

    images = sorted((run.path / "thumbnails").iterdir())[:5]
    for prediction in predict(run.model, images):
        print(f"{Path(prediction.image).name}: {prediction.label} ({prediction.probability:.3f})")
    return run


# Ray starts processes that import this file again; without this guard each would search.
if __name__ == "__main__":
    main(*sys.argv[1:2])
