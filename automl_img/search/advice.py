"""What a plan warns of, and what it proposes instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from automl_img.data.cache import cache_root
from automl_img.errors import OutOfMemory, TrialFailed
from automl_img.objectives import Limits, described
from automl_img.search.costs import group_of
from automl_img.search.disk import free_bytes
from automl_img.search.forecast import Course
from automl_img.search.survey import Configuration, Survey
from automl_img.settings import SearchSettings
from automl_img.training.costs import Work

# Below so many trials a search has hardly begun.
_FEW_TRIALS = 10
_LONG_SECONDS = 3600.0
_MUCH_DEARER = 4.0
_MUCH_TRACING = 0.3
_SMALL_SIDE = 48
# Of an exported model: float32.
_BYTES_A_PARAMETER = 4


def misfits(
    found: Survey, settings: SearchSettings, memory_limit: int, disk: Mapping[str, int]
) -> tuple[str, ...]:
    """Sentences: which configurations will not fit, and why.

    Args:
        memory_limit: bytes that a trial may hold which has the whole machine.
        disk: bytes by what takes them.
    """
    said = [f"{_failed(work, error)} cannot be trained: {error}" for work, error in found.failed]
    for item in found.configurations:
        if item.memory_bytes is not None and item.memory_bytes > memory_limit > 0:
            said.append(
                f"{item.backbone} {item.learns} takes {amount(item.memory_bytes)}, more than the "
                f"{amount(memory_limit)} that a trial may hold; a smaller --image-size or "
                "batch_size makes room"
            )
    said += [words for item in found.configurations for words in _beyond(item, settings.limits)]
    room = amount(settings.feature_bytes)
    largest: dict[str, Work] = {}
    for work in found.large:
        known = largest.setdefault(name(work), work)
        if work.feature_bytes > known.feature_bytes:
            largest[name(work)] = work
    for words, work in sorted(largest.items()):
        said.append(
            f"the features of {words} need {amount(work.feature_bytes)}, more than "
            f"--feature-cache has ({room}), so its frozen part runs in every epoch"
        )
    free, needed = free_bytes(cache_root()), sum(disk.values())
    if needed > free:
        said.append(
            f"the search needs {amount(needed)} of disk, but {amount(free)} are free; free some, "
            "or take a smaller --feature-cache"
        )
    return tuple(said)


def advice(
    found: Survey,
    courses: Sequence[Course],
    parts: Mapping[str, float],
    settings: SearchSettings,
    image_size: int,
) -> tuple[str, ...]:
    """Sentences: what would make the search cheaper, where it is long or tries little."""
    trials = float(np.mean([course.trials for course in courses]))
    seconds = parts["trials"]
    if trials >= _FEW_TRIALS and seconds < _LONG_SECONDS:
        return _of_tracing(courses, seconds)
    said = []
    cheapest = min(found.configurations, key=_epoch)
    dearest = max(found.configurations, key=_epoch)
    if cheapest.backbone != dearest.backbone and _epoch(dearest) > _MUCH_DEARER * _epoch(cheapest):
        said.append(
            f"an epoch of {dearest.backbone} takes {_epoch(dearest) / _epoch(cheapest):.0f} times "
            f"as long as one of {cheapest.backbone}: --fix backbone={cheapest.backbone} tries more"
        )
    if image_size > _SMALL_SIDE:
        said.append(
            f"--image-size {image_size // 2} makes an epoch of images about 4 times cheaper "
            f"than {image_size} pixels do, and loses detail"
        )
    full = float(np.mean([course.winner.full_seconds() for course in courses]))
    if full > seconds / 3 and settings.max_epochs > 9:
        said.append(
            f"one trial of --max-epochs {settings.max_epochs} takes {full / max(seconds, 1):.0%} "
            f"of the time for trials: --max-epochs {settings.max_epochs // 3} tries more"
        )
    return (*said, *_of_tracing(courses, seconds))


def _of_tracing(courses: Sequence[Course], seconds: float) -> tuple[str, ...]:
    share = float(np.mean([course.graph_seconds for course in courses])) / max(seconds, 1e-9)
    if share < _MUCH_TRACING:
        return ()
    return (
        f"tracing new graphs takes {share:.0%} of the time for trials: what shapes a graph, such "
        "as cnn.filters, costs less in few values (--search cnn.filters=16,32,64) or fixed",
    )


def name(work: Work) -> str:
    """A configuration in a few words."""
    backbone, learns = group_of(work)
    cut = work.params.get(f"{backbone}.frozen_layers")
    where = f" up to layer {cut}" if cut else ""
    words = "frozen" if learns == "frozen" else f"frozen{where}" if cut else learns
    return f"{backbone} {words} at batch_size {work.params['batch_size']}"


def _beyond(item: Configuration, limits: Limits) -> Iterator[str]:
    """Which limits a part of a configuration breaks, as far as its parameters tell."""
    for name, each in (("parameters", 1), ("size_bytes", _BYTES_A_PARAMETER)):
        limit = limits.bounded.get(name)
        if limit is None:
            continue
        beyond = sum(each * parameters > limit for parameters in item.parameters)
        if beyond:
            yield (
                f"{beyond} of {len(item.parameters)} networks of {item.backbone} {item.learns} "
                f"need more than {described(name, limit)}, and are not trained"
            )


def _failed(work: Work, error: TrialFailed) -> str:
    """What failed: for want of memory one configuration, else all that are like it."""
    return name(work) if isinstance(error, OutOfMemory) else " ".join(group_of(work))


def amount(size: float) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _epoch(item: Configuration) -> float:
    return float(np.mean(item.epoch_seconds))
