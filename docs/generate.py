"""Writes the parts of the documents that the code knows better: commands, hyperparameters, presets,
and what benchmarks found.

They stand between ``<!-- generated: NAME -->`` and ``<!-- end -->``; the rest of each document is
written by hand. ``make docs`` runs this; ``--check`` only says what is stale, and a test runs that.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from automl_img.api import list_spaces
from automl_img.cli.main import app
from automl_img.models.augment import DEFAULT_SET
from automl_img.models.hyperparameters import declared
from automl_img.space.dimensions import Dimension, text
from automl_img.space.presets import find_preset

DOCS = Path(__file__).parent
BENCHMARKS = DOCS.parent / "benchmarks"
_KINDS = {int: " N", float: " X", bool: "", Path: " PATH"}

# What each hyperparameter does; one that is missing here stops the documents from being written.
MEANINGS = {
    "backbone": "the network",
    "weights": "`imagenet`, `none` (start at random), or the path of a weights file",
    "fine_tune.head_epochs": "epochs of the head alone, before what is not frozen trains too",
    "fine_tune.rate_factor": "the learning rate after that, as a part of `optimizer.learning_rate`",
    "frozen_layers": "layers from the input that keep their weights; 0 trains all of them",
    "cnn.depth": "blocks; each halves the resolution and doubles the filters",
    "cnn.filters": "filters of the first block",
    "cnn.kernel_size": "side of the kernels, in pixels",
    "cnn.convolutions": "convolutions a block; all but the first in a residual branch",
    "cnn.batch_normalization": "whether each convolution is followed by batch normalisation",
    "head.pooling": "from the feature map to one vector: its mean or its maximum",
    "head.units": "size of a hidden layer before the last one; 0 for none",
    "head.dropout": "share of features dropped before the last layer",
    "regularization.l2": "squared weights added to the loss, times this",
    "regularization.l1": "absolute weights added to the loss, times this",
    "imbalance.class_weights": "the loss of an image is weighted by 1 / the frequency of its "
    "class, to this power; 1 makes all classes count the same",
    "imbalance.oversampling": "the same for how often an image is drawn; an epoch is as long as "
    "without",
    "imbalance.focal_gamma": "the focal loss: that of an image times (1 - p) ** gamma; 0 is plain "
    "cross-entropy",
    "label_smoothing": "share of each label that is spread over all classes",
    "optimizer.name": "Adam, AdamW, SGD with Nesterov momentum, or RMSprop",
    "optimizer.learning_rate": "the highest rate of the schedule",
    "optimizer.schedule": "down along a cosine, constant, or down whenever the loss stands still",
    "optimizer.warmup_epochs": "epochs in which the rate rises from near zero",
    "optimizer.momentum": "of SGD and RMSprop",
    "optimizer.weight_decay": "of AdamW",
    "batch_size": "images a step",
    "early_stopping.patience": "epochs without a better validation accuracy that end a trial",
    "augment.strength": "of the default set: shift, rotation, zoom, contrast, cut-out, and "
    "mirroring where that keeps the class",
    "augment.horizontal_flip": "mirror half of the images left to right",
    "augment.vertical_flip": "mirror half of the images top to bottom",
    "augment.shift": "up to this part of the side",
    "augment.rotation": "up to this part of a full turn",
    "augment.shear": "up to this amount",
    "augment.zoom": "in or out, up to this part",
    "augment.crop": "a random part of the image, smaller by up to this",
    "augment.brightness": "up to this part of the range of values",
    "augment.contrast": "up to this part",
    "augment.saturation": "up to this part; colour images only",
    "augment.noise": "standard deviation, as a part of the range of values",
    "augment.blur": "share of the images that are blurred",
    "augment.cutout": "a square up to this part of the side is blanked",
}


def commands() -> str:
    """Every command, with its arguments and options."""
    return "\n".join(line for name, command in walk() for line in _command(name, command))


def walk(command: Any = None, name: str = "automl-img") -> Iterator[tuple[str, Any]]:
    """The name and the object of each command that does something, in the order of the help."""
    command = get_command(app) if command is None else command
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield name, command
    for each, sub in below.items():
        yield from walk(sub, f"{name} {each}")


def hyperparameters() -> str:
    """Every hyperparameter, with its bounds, its default and when it counts."""
    lines = ["| hyperparameter | may be | default | what it is | counts where |", "|---" * 5 + "|"]
    for dimension in declared():
        where = " and ".join(condition.describe() for condition in dimension.when)
        cells = (f"`{dimension.name}`", dimension.describe(), _default(dimension))
        lines.append(f"| {' | '.join((*cells, meaning_of(dimension), where))} |")
    return "\n".join(lines)


def _default(dimension: Dimension) -> str:
    if dimension.default is not None:
        return text(dimension.default)
    with_strength = {*DEFAULT_SET, "horizontal_flip"}
    follows = dimension.name.removeprefix("augment.") in with_strength
    return "as `augment.strength` says" if follows else "off"


def meaning_of(dimension: Dimension) -> str:
    """What the hyperparameter does, in a few words.

    Raises:
        KeyError: nobody has written it down yet.
    """
    name = dimension.name
    return MEANINGS["frozen_layers" if name.endswith(".frozen_layers") else name]


def presets() -> str:
    """Every preset that ships, with the command that its file opens with."""
    lines = []
    for preset in list_spaces():
        opening = find_preset(preset.name).read_text(encoding="utf-8").splitlines()[0]
        words = f"{preset.description} ({preset.searched} hyperparameters are searched)"
        lines.append(f"- `{preset.name}`: {words}: `{opening.removeprefix('# ')}`")
    return "\n".join(lines)


def benchmarks() -> str:
    """Every benchmark with its goal and what its last full run found."""
    scripts = sorted(BENCHMARKS.glob("*.py"))
    scripts = [path for path in scripts if "\nif __name__ ==" in path.read_text(encoding="utf-8")]
    lines = ["| script | what it measures, against what | goal | reached |", "|---" * 4 + "|"]
    figures: list[str] = []
    for script in scripts:
        about, goal = _about(script)
        result = BENCHMARKS / "results" / f"{script.stem}.json"
        reached = "not yet run in full"
        if result.exists():
            kept = json.loads(result.read_text(encoding="utf-8"))
            goal, reached = kept["goal"], "yes" if kept["met"] else "no"
            figures += _figures(kept)
        lines.append(f"| `{script.name}` | {about} | {goal} | {reached} |")
    return "\n".join([*lines, *figures])


def _about(script: Path) -> tuple[str, str]:
    """(what a benchmark measures, its goal): its docstring's first paragraph and its ``GOAL``."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    goals = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GOAL"
    ]
    about = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    return " ".join(about.split()), ast.literal_eval(goals[0]) if goals else ""


def _figures(kept: dict[str, Any]) -> Iterator[str]:
    """The result of a full run, with its date and machine."""
    machine = kept["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    where = f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']:g} GB, {gpus}"
    yield from ("", f"### {kept['name']}", "", f"{kept['date']}; {where}; {versions}.", "")
    yield from ("| figure | value |", "|---|---|")
    for name, value in kept["figures"].items():
        yield f"| {name} | {value} |"


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "benchmarks.md": {"benchmarks": benchmarks},
    "cli.md": {"commands": commands},
    "space.md": {"presets": presets, "hyperparameters": hyperparameters},
}


def renewed(page: str) -> str:
    """The document ``page`` with its generated parts written anew.

    Raises:
        ValueError: the marks of a part are missing.
    """
    content = (DOCS / page).read_text(encoding="utf-8")
    for name, write in PARTS[page].items():
        start, end = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(content)
        if found is None:
            raise ValueError(f"docs/{page} must have a part {start} ... {end}")
        part = f"{start}\n\n{write().strip()}\n\n{end}"
        content = content[: found.start()] + part + content[found.end() :]
    return content


def main(arguments: list[str]) -> int:
    """Write the documents, or with ``--check`` say which are stale."""
    stale = [page for page in PARTS if renewed(page) != (DOCS / page).read_text(encoding="utf-8")]
    for page in stale:
        if "--check" not in arguments:
            (DOCS / page).write_text(renewed(page), encoding="utf-8")
        print(f"docs/{page} " + ("is stale: make docs" if "--check" in arguments else "written"))
    if not stale:
        print("docs/ agrees with the code")
    return 1 if stale and "--check" in arguments else 0


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if not _is_option(parameter)]
    options = [parameter for parameter in command.params if _is_option(parameter)]
    typed, optional = [*map(_usage, arguments)], ["[OPTIONS]"] if options else []
    # What follows the arguments of such a command belongs to them.
    first = not command.context_settings.get("allow_interspersed_args", True)
    usage = " ".join([name, *(optional + typed if first else typed + optional)])
    yield from (f"## {name}", "", " ".join(str(command.help).split()), "", f"    {usage}", "")
    for parameter in arguments:
        yield f"- `{_metavar(parameter)}`: {parameter.help}"
    for parameter in options:
        kind = _KINDS.get(parameter.type_descriptor.annotation, " TEXT")
        value = f" {parameter.metavar}" if parameter.metavar else kind
        needed = " Required." if parameter.required else ""
        default = "" if parameter.default in (None, False) else f" [default: {parameter.default}]"
        yield f"- `{parameter.opts[0]}{value}`: {parameter.help}{needed}{default}"
    yield ""


def _is_option(parameter: Any) -> bool:
    return str(parameter.opts[0]).startswith("--")


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _usage(parameter: Any) -> str:
    many = "..." if parameter.nargs == -1 else ""
    return f"{_metavar(parameter)}{many}" if parameter.required else f"[{_metavar(parameter)}]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
