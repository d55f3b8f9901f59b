"""Findings about the result and its images: each says no more than the number shows."""

from __future__ import annotations

import math
from typing import Any

from automl_img.report.blocks import CHECK, GOOD, NOTE, Finding
from automl_img.report.card import Card, validation_accuracy
from automl_img.report.drawing import counted
from automl_img.report.facts import Scores
from automl_img.report.statistics import chance_of_mistakes, standard_error

FEW_IMAGES = 20
IMBALANCE = 3
_CHANCE = 0.05
_UNFINISHED = ("running", "interrupted", "failed")


def no_test(card: Card) -> Finding | None:
    if card.test is not None:
        return None
    status = card.info.get("status")
    why = f"The run is {status}: there" if status in _UNFINISHED else "There"
    text = f"{why} is no result on test images, and nothing here says how good the model is."
    return Finding(CHECK, text, "verdict", "no test")


def baseline(card: Card) -> Finding | None:
    """Within 2 standard errors of always saying the most frequent class, nothing was learnt."""
    if card.test is not None and card.test.thresholds is not None:
        return _random_order(card.test)
    value = card.test.number("baseline") if card.test else None
    if card.test is None or value is None:
        return None
    gap = card.test.accuracy - value
    error = standard_error(card.test.accuracy, card.test.images)
    if gap <= 2 * error:
        text = (
            "The model has learnt nothing measurable: always saying the most frequent class "
            f"gives {value:.3f}."
        )
        return Finding(CHECK, text, "scores", "baseline")
    text = (
        f"The model beats always saying the most frequent class ({value:.3f}) by far more "
        "than chance."
    )
    return Finding(GOOD, text, "scores", "baseline")


def _random_order(test: Scores) -> Finding | None:
    """Of images with several classes: the mean average precision of a random order is the mean
    share of images that have a class."""
    bounds = test.bounds("mean_average_precision")
    counts = [row["support"] for row in test.values.get("per_class") or () if row["support"]]
    if bounds is None or not counts:
        return None
    chance = sum(counts) / len(counts) / test.images
    if bounds[0] <= chance:
        text = (
            "The model has learnt nothing measurable: a random order of the images has a mean "
            f"average precision of {chance:.3f}."
        )
        return Finding(CHECK, text, "scores", "baseline")
    text = (
        "The model puts images into an order that is by far more than chance better than a random "
        f"one (mean average precision {chance:.3f})."
    )
    return Finding(GOOD, text, "scores", "baseline")


def tested_again(card: Card) -> Finding | None:
    """A run whose budget grew may have had several winners."""
    tested = [each.get("trial") for each in card.info.get("tested") or []]
    if len(tested) < 2:
        return None
    winners = ", then ".join(f"trial {number}" for number in tested)
    text = (
        f"The test images were read {len(tested)} times, once for each winner as the budget grew "
        f"({winners}). The choice never saw them; whoever went on because of a score has seen it."
    )
    return Finding(NOTE, text, "scores", "tested again")


def small_test(card: Card) -> Finding | None:
    if card.test is None:
        return None
    low, high = card.test.interval
    half = (high - low) / 2
    if half < 0.02:
        return None
    level = CHECK if half >= 0.05 else NOTE
    images = counted(card.test.images, "test image")
    text = f"The accuracy is known to about ±{half:.3f} only: there are {images}."
    return Finding(level, text, "scores", "small test set")


def optimism(card: Card) -> Finding | None:
    """Validation against test, in standard errors of the difference."""
    if card.test is not None and card.test.thresholds is not None:
        # In validation classes are said to be there from 0.5 on.
        return None
    best, count = card.best_trial, card.data.splits.get("validation")
    if card.test is None or best is None or not count:
        return None
    validation = validation_accuracy(best)
    gap = validation - card.test.accuracy
    error = math.hypot(
        standard_error(validation, count), standard_error(card.test.accuracy, card.test.images)
    )
    if gap <= 2 * error:
        return None
    trials = counted(len(card.usable), "trial")
    text = (
        f"Test accuracy is {gap:.3f} below validation accuracy ({validation:.3f}), "
        f"{gap / error:.1f} standard errors; part of it is choosing the best of {trials}."
    )
    return Finding(NOTE, text, "scores", "validation against test")


def imbalance(card: Card) -> Finding | None:
    counts = [n for n in card.data.class_counts.get("train", ()) if n > 0]
    if card.data.multi_label:
        return None
    if len(counts) < 2 or max(counts) <= IMBALANCE * min(counts):
        return None
    ratio = max(counts) / min(counts)
    text = (
        f"The largest class has {ratio:.1f} times the training images of the smallest: look "
        "at balanced accuracy."
    )
    return Finding(NOTE, text, "data", "imbalance")


def few_in_a_class(card: Card) -> Finding | None:
    rows = card.test.values.get("per_class") if card.test else None
    few = sorted((row["support"], row["name"]) for row in rows or () if row["support"] < FEW_IMAGES)
    if not few:
        return None
    count = len(few)
    verb = "has" if count == 1 else "have"
    text = (
        f"{counted(count, 'class', 'classes')} {verb} fewer than {FEW_IMAGES} test images "
        f"(fewest: “{few[0][1]}”, {few[0][0]}): scores of a single class are rough."
    )
    return Finding(NOTE, text, "classes", "few test images in a class")


def weak_class(card: Card) -> Finding | None:
    """A class with more mistakes than chance gives it, even as the worst of so many classes."""
    rows = card.test.values.get("per_class") if card.test else None
    present = [row for row in rows or () if row["support"]]
    # Thresholds trade the recall of one class for its precision.
    if card.test is None or not present or card.test.thresholds is not None:
        return None
    images = sum(row["support"] for row in present)
    mistakes = sum(_mistakes(row) for row in present)
    low = [
        row
        for row in present
        if len(present) * chance_of_mistakes(_mistakes(row), row["support"], mistakes, images)
        < _CHANCE
    ]
    if not low:
        return None
    worst = min(low, key=lambda row: (row["recall"], row["name"]))
    more = f" and {counted(len(low) - 1, 'other class', 'other classes')}" if len(low) > 1 else ""
    text = (
        f"“{worst['name']}”{more} {'are' if more else 'is'} recognised less often than the "
        f"rest, by more than chance among {len(present)} classes explains: recall "
        f"{worst['recall']:.3f}, accuracy over all {card.test.accuracy:.3f}."
    )
    return Finding(CHECK, text, "classes", "weak class")


def _mistakes(row: dict[str, Any]) -> int:
    return round(int(row["support"]) * (1 - float(row["recall"])))


def calibration(card: Card) -> Finding | None:
    found = card.test.values.get("calibration") if card.test else None
    if not found or found.get("ece") is None:
        return None
    if found["ece"] <= found["ece_null_high"]:
        text = (
            f"No sign that the probabilities are off: calibration error {found['ece']:.3f}, "
            f"chance alone gives up to {found['ece_null_high']:.3f}."
        )
        return Finding(GOOD, text, "confidence", "calibration")
    text = (
        f"The probabilities are off by {found['ece']:.3f} on average, more than chance "
        f"({found['ece_null_high']:.3f}): do not read them as chances of being right."
    )
    return Finding(NOTE, text, "confidence", "calibration")
