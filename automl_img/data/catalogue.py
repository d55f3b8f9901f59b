"""A program of its own that writes a data set of tensorflow-datasets as folders of image files.

It runs apart from the process of the search, as TensorFlow would keep that process's GPUs. What it
says is a line of JSON each: ``{"bytes": n}`` before it writes, ``{"done": n, "total": n}``, and
``{"error": "a sentence"}`` or ``{"meta": {...}}`` at its end.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from automl_img.data.listing import SPELLINGS
from automl_img.errors import DataError, did_you_mean

_PNG = b"\x89PNG\r\n\x1a\n"
# Images between two notes of how far it is.
_BETWEEN_NOTES = 500
# With waits from 0.4 to 3.2 s.
_ATTEMPTS = 5


def main() -> None:
    """Write the data set ``argv[2]`` below the folder ``argv[3]``; see the module."""
    name, into = sys.argv[2:4]
    answers = sys.stdout
    # The library prints what it does.
    with redirect_stdout(sys.stderr):
        try:
            for answer in _written(name, Path(into)):
                print(json.dumps(answer), file=answers, flush=True)
        except DataError as error:
            print(json.dumps({"error": str(error)}), file=answers, flush=True)


def _written(name: str, into: Path) -> Iterator[dict[str, Any]]:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = _builder(tfds, name)
    image, label = _features(tfds, builder, name)
    _prepare(builder, name)
    splits = _splits(builder, name)
    folders = _class_folders(builder.info.features[label].names)
    total, done, unlabelled = sum(n for _, n in splits.values()), 0, 0
    yield {"bytes": int(builder.info.dataset_size)}
    for split, (part, _) in splits.items():
        # As they come: they are decoded where all images are.
        skip = {image: tfds.decode.SkipDecoding()}
        read = builder.as_dataset(split=part, decoders=skip, shuffle_files=False)
        for number, example in enumerate(tfds.as_numpy(read)):
            if example[label] < 0:
                # Of some test sets nobody tells the labels.
                unlabelled += 1
                continue
            content = example[image]
            ending = "png" if content.startswith(_PNG) else "jpg"
            place = into / "files" / split / folders[int(example[label])]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:07d}.{ending}").write_bytes(content)
            done += 1
            if done % _BETWEEN_NOTES == 0:
                yield {"done": done, "total": total}
    yield {"meta": {"images": done, "unlabelled": unlabelled}}


def _builder(tfds: Any, name: str) -> Any:
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        alone = re.split("[:/]", name)[0]
        raise DataError(
            f"tensorflow-datasets has no data set {name!r}{did_you_mean(alone, known)}; look for "
            "its name in the catalogue"
        ) from None
    except Exception as error:
        # A version or a variant that there is not, as a failed assertion with the others.
        said = _short(error).rpartition('": ')[2].rstrip(".")
        raise DataError(f"tfds:{name} must be there to be loaded, but: {said}; mend it") from None


def _features(tfds: Any, builder: Any, name: str) -> tuple[str, str]:
    """The names of the image and of the label."""
    features, keys = builder.info.features, builder.info.supervised_keys
    pairs = [keys] if isinstance(keys, tuple) and len(keys) == 2 else []
    for image, label in (*pairs, ("image", "label")):
        if all(isinstance(key, str) and key in features for key in (image, label)):
            kinds = features[image], features[label]
            if isinstance(kinds[0], tfds.features.Image) and isinstance(
                kinds[1], tfds.features.ClassLabel
            ):
                return image, label
    raise DataError(
        f"tfds:{name} must have an image and a class for each example, but it has "
        f"{', '.join(map(repr, features))}; take one of image classification"
    )


def _prepare(builder: Any, name: str) -> None:
    # Otherwise it is looked for a network for three minutes.
    with suppress(ImportError):
        from tensorflow_datasets.core.download import downloader

        downloader.MAX_RETRIES = _ATTEMPTS
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"tfds:{name} must be downloaded once, but that failed ({_short(error)}); connect to "
            "the network and try again, or put what was prepared elsewhere into TFDS_DATA_DIR"
        ) from None


def _splits(builder: Any, name: str) -> dict[str, tuple[str, int]]:
    """The splits as we call them: each as the library does, and its examples."""
    found: dict[str, tuple[str, int]] = {}
    for part, info in builder.info.splits.items():
        split = SPELLINGS.get(part.lower())
        if split is None or split in found:
            raise DataError(
                f"the splits of tfds:{name} must be train, validation and test, but they are "
                f"{', '.join(map(repr, builder.info.splits))}; take a data set that has no others"
            )
        found[split] = (part, info.num_examples)
    return found


def _class_folders(names: list[str]) -> list[str]:
    """A folder for each class, named as it is where that can be the name of a folder."""
    plain = [re.sub(r"[/\\\0]", "-", each).strip() for each in names]
    plain = [f"_{each}" if each.startswith(".") or not each else each for each in plain]
    return [
        each if plain.count(each) == 1 else f"{each} {number}" for number, each in enumerate(plain)
    ]


def _short(error: Exception) -> str:
    if host := re.search(r"HTTPS?ConnectionPool\(host='([^']*)'", str(error)):
        return f"no connection to {host[1]}"
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]
