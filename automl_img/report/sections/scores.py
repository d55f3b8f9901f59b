"""The scores on the test images."""

from __future__ import annotations

from automl_img.report.blocks import Section, Skipped, Tile, Tiles
from automl_img.report.card import Card
from automl_img.report.drawing import DASH, counted, interval, number, percent, share
from automl_img.report.facts import Scores

ORDER = 20
TITLE = "Test results"

_SCORES = (
    ("mean_average_precision", "Mean average precision", "macro; 1 is a perfect order"),
    ("jaccard", "Jaccard index", "mean share of an image's classes that are said right"),
    ("balanced_accuracy", "Balanced accuracy", "mean recall of the classes"),
    ("macro_precision", "Precision", "macro: every class counts the same"),
    ("macro_recall", "Recall", "macro: every class counts the same"),
    ("macro_f1", "F1", "macro: every class counts the same"),
    ("micro_f1", "F1, micro", "every label counts the same"),
    ("hamming_loss", "Hamming loss", "share of labels that are said wrong"),
    ("roc_auc", "ROC AUC", "1 is a perfect order, 0.5 is chance"),
    ("top_k", "Top {k} accuracy", "the class is among the {k} most probable"),
    ("log_loss", "Log loss", "lower is better"),
    ("mcc", "Matthews correlation", "0 is chance, 1 is perfect"),
)


def build(card: Card) -> Section | Skipped:
    if card.test is None:
        return Skipped(TITLE, "The run has no test result yet.")
    test = card.test
    tiles = [_accuracy(test), *(_tile(test, *score) for score in _SCORES), _baseline(test)]
    shown = tuple(tile for tile in tiles if tile is not None)
    numbers = {"tiles": [{"name": t.name, "value": t.value, "shown": t.shown} for t in shown]}
    return Section(
        TITLE,
        f"How good is it on {counted(test.images, 'image')} that neither the training nor the "
        f"search has seen? Intervals are {percent(0.95)}.",
        (Tiles(shown),),
        numbers,
    )


def _accuracy(test: Scores) -> Tile:
    detail = f"{interval(test.interval)}, {test.correct:,} of {test.images:,} right"
    detail += " in every class" if test.thresholds is not None else ""
    return Tile("Accuracy", test.accuracy, share(test.accuracy), detail)


def _tile(test: Scores, key: str, name: str, meaning: str) -> Tile | None:
    undefined = test.values.get("undefined") or {}
    if key not in test.values and key not in undefined:
        return None
    k = str(test.values.get("k") or "k")
    name, meaning = name.replace("{k}", k), meaning.replace("{k}", k)
    value = test.number(key)
    if value is None:
        return Tile(
            name, None, DASH, f"not defined: {undefined.get(key, 'no reason was recorded')}"
        )
    bounds = test.bounds(key)
    # A bootstrap of images that are all right has no spread, which is not certainty.
    spread = f"{interval(bounds)}, " if bounds and bounds[1] > bounds[0] else ""
    shown = number(value) if key == "log_loss" else share(value)
    return Tile(name, value, shown, spread + meaning)


def _baseline(test: Scores) -> Tile | None:
    value = test.number("baseline")
    if value is None:
        return None
    name = str(test.values.get("baseline_class", "the most frequent class"))
    return Tile("Majority baseline", value, number(value), f"always saying “{name}”")
