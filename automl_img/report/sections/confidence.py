"""Can its probabilities be trusted, and when should it say "I don't know"?"""

from __future__ import annotations

from typing import Any

from automl_img.report.blocks import Block, Cell, Figure, Section, Skipped, Table, Text, Threshold
from automl_img.report.card import Card
from automl_img.report.drawing import BLUE, DASH, GREY, axis, line, number, percent
from automl_img.report.statistics import wilson
from automl_img.runs import Predictions

ORDER = 60
TITLE = "Confidence"
FEWEST_IMAGES = 200
# The accuracy of fewer answers says nothing.
FEWEST_ANSWERED = 5
STEPS = 50


def build(card: Card) -> Section | Skipped:
    found = card.test.values.get("calibration") if card.test else None
    if card.test is not None and card.test.thresholds is not None:
        return Skipped(TITLE, "Each class has a threshold of its own, see “Per class”.")
    if card.test is None or (not found and card.predictions is None):
        return Skipped(TITLE, "The run kept no probabilities of test images.")
    blocks: list[Block] = []
    numbers: dict[str, Any] = {}
    if found:
        numbers = {key: found.get(key) for key in ("ece", "ece_null", "ece_null_high")}
        if card.test.images >= FEWEST_IMAGES and found.get("bins"):
            blocks.append(_reliability(found))
        else:
            blocks.append(
                Text(
                    f"{_sentence(found)}. With fewer than {FEWEST_IMAGES} test images a "
                    "reliability curve would show mostly noise."
                )
            )
    if card.predictions is not None:
        steps, images = thresholds(card.predictions), len(card.predictions.labels)
        if images >= FEWEST_ANSWERED:
            blocks.append(_coverage(steps, images))
        blocks.append(Threshold(steps, images))
    question = "Can its probabilities be trusted, and when should it say “I don't know”?"
    return Section(TITLE, question, tuple(blocks), numbers)


def thresholds(predictions: Predictions) -> tuple[tuple[float, int, int], ...]:
    """(threshold, images answered, of these correct) for thresholds from 0 to 0.99."""
    confidence = predictions.probabilities.max(axis=1)
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    steps = [i / STEPS for i in range(STEPS)] + [0.99]
    return tuple(
        (step, int((confidence >= step).sum()), int(right[confidence >= step].sum()))
        for step in steps
    )


def _sentence(found: dict[str, Any]) -> str:
    """What the calibration error says, against what chance alone would give."""
    ece, high = found["ece"], found["ece_null_high"]
    if ece <= high:
        return (
            f"The probabilities look trustworthy: calibration error {ece:.3f}, where chance alone "
            f"gives up to {high:.3f}"
        )
    gap = found["mean_confidence"] - _accuracy(found)
    way = "too sure of itself" if gap > 0 else "less sure than it could be"
    return (
        f"The model is {way}: calibration error {ece:.3f}, where chance alone gives up to "
        f"{high:.3f}"
    )


def _accuracy(found: dict[str, Any]) -> float:
    images = sum(item["images"] for item in found["bins"])
    right = sum(item["accuracy"] * item["images"] for item in found["bins"])
    return float(right / max(1, images))


def _reliability(found: dict[str, Any]) -> Figure:
    bins = found["bins"]
    x = [item["confidence"] for item in bins]
    y = [item["accuracy"] for item in bins]
    bounds = [wilson(item["accuracy"] * item["images"], item["images"]) for item in bins]
    dots = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "test images, 95 % interval",
        "x": x,
        "y": y,
        "marker": {"color": BLUE, "size": 8},
        "line": {"color": BLUE, "width": 1.5},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [max(0.0, high - own) for own, (_, high) in zip(y, bounds, strict=True)],
            "arrayminus": [max(0.0, own - low) for own, (low, _) in zip(y, bounds, strict=True)],
            "color": BLUE,
            "thickness": 1.2,
        },
        "customdata": [item["images"] for item in bins],
        "hovertemplate": "said %{x:.2f}, right %{y:.2f}, %{customdata} images<extra></extra>",
    }
    columns = ("Probability", "Images", "Mean probability", "Accuracy")
    rows = tuple(
        (
            Cell(f"{item['low']:.2f}{DASH}{item['high']:.2f}", item["low"]),
            Cell(f"{item['images']:,}", item["images"]),
            Cell(number(item["confidence"]), item["confidence"]),
            Cell(number(item["accuracy"]), item["accuracy"]),
        )
        for item in bins
    )
    perfect = line([0, 1], [0, 1], "perfect", GREY, dash="dot", hoverinfo="skip")
    return Figure(
        "figure-reliability",
        _sentence(found),
        "For groups of images by the probability of the answer: how often the answer was right. "
        "On the dotted line, the probabilities mean what they say. The error of a perfect model "
        f"would still be {found['ece_null']:.3f} on so many images, by chance.",
        [perfect, dots],
        {
            "xaxis": axis("probability that the model states", range=[0, 1.02]),
            "yaxis": axis("share right", range=[0, 1.04]),
        },
        Table("table-reliability", "Reliability", columns, rows, frozenset(columns), True),
    )


def _coverage(steps: tuple[tuple[float, int, int], ...], images: int) -> Figure:
    kept = [step for step in steps if step[1] >= FEWEST_ANSWERED]
    drawn = [step for i, step in enumerate(kept) if i == 0 or step[1] != kept[i - 1][1]]
    x = [answered / images for _, answered, _ in drawn]
    y = [right / answered for _, answered, right in drawn]
    columns = ("Threshold", "Answered", "Accuracy of these")
    rows = tuple(
        (
            Cell(number(step, 2), step),
            Cell(f"{answered / images:.1%}", answered),
            Cell(number(right / answered), right / answered),
        )
        for step, answered, right in drawn
    )
    return Figure(
        "figure-coverage",
        _coverage_heading(drawn, images),
        "The model answers only where its probability is at least a threshold, and says “I don't "
        "know” otherwise. Right to left: a higher threshold. Choose a threshold on other images "
        "than these, or it will look better than it is.",
        [
            line(
                x,
                y,
                "test images",
                BLUE,
                mode="lines+markers",
                customdata=[step for step, _, _ in drawn],
                hovertemplate="threshold %{customdata:.2f}: %{x:.1%} answered, %{y:.3f} right"
                "<extra></extra>",
                showlegend=False,
            )
        ],
        {
            "xaxis": axis("share of the images answered", tickformat=".0%"),
            "yaxis": axis("accuracy of these answers"),
        },
        Table("table-coverage", "Threshold and accuracy", columns, rows, frozenset(columns), True),
    )


def _coverage_heading(steps: list[tuple[float, int, int]], images: int) -> str:
    _, answered, right = steps[0]
    base = f"{right / answered:.3f}"
    for _, answered, right in steps:
        if answered <= 0.9 * images:
            share = percent(answered / images)
            return (
                f"Of the surest {share} of the answers {right / answered:.3f} are right, of all "
                f"{base}"
            )
    return f"Of all answers {base} are right"
