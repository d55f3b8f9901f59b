"""Trials of one graph that have no other value in common; as a script, in each family.

``python -m tests.training.reuse FOLDER FAMILY...`` prints what two epochs gave in each family: of a
first trial, of a second one on the graph of the first, and of the second one alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from automl_img.models import backbones
from automl_img.plugins import leaf_names, leaves
from automl_img.training.graphs import GraphCache
from automl_img.training.guards import release_memory
from automl_img.training.trainer import Trainer
from automl_img.trials import TrialSpec
from tests.training.trials import curve, with_, write_pixels

# The same graph, and not one value in it that is the same.
ONE = {
    "optimizer__learning_rate": "1e-2",
    "head__dropout": "0.1",
    "regularization__l2": "1e-3",
    "regularization__l1": "1e-5",
    "label_smoothing": "0.1",
    "imbalance__class_weights": "1",
    "imbalance__focal_gamma": "2",
    "augment__strength": "0.7",
    "batch_size": "16",
}
OTHER = {
    "optimizer__learning_rate": "3e-3",
    "head__dropout": "0.4",
    "regularization__l2": "1e-2",
    "regularization__l1": "1e-4",
    "label_smoothing": "0",
    "imbalance__class_weights": "0.3",
    "imbalance__oversampling": "0.5",
    "imbalance__focal_gamma": "0.5",
    "augment__strength": "0.2",
    "batch_size": "24",
    "optimizer__schedule": "constant",
}


def losses(spec: TrialSpec, graphs: GraphCache, folder: Path) -> tuple[list[object], int]:
    """What two epochs gave, and how many graphs were traced for them."""
    trainer = Trainer(with_(spec, folder, max_epochs=2), graphs)
    results = list(trainer.epochs())
    return [*curve(results)], trainer.graphs_traced


def of_family(name: str, folder: Path) -> dict[str, object]:
    """The three trials on the smallest network of a family, from random weights."""
    family = dict(zip(leaf_names(backbones), leaves(backbones), strict=True))[name]
    shared = getattr(family, "FAMILY", None)
    size = shared.variants[family.VARIANTS[0]].minimum if shared else 16
    spec = write_pixels(folder / "pixels", per_class=6, size=size)
    own = {"backbone": family.VARIANTS[0], **({"weights": "none"} if shared else {})}
    one = with_(spec, fix={**ONE, **own, "batch_size": "6"}, seed=3)
    other = with_(spec, fix={**OTHER, **own, "batch_size": "4"}, seed=4)
    graphs = GraphCache()
    first, traced = losses(one, graphs, folder / "first")
    kept, none = losses(other, graphs, folder / "kept")
    graphs.shrink()
    alone, anew = losses(other, GraphCache(), folder / "alone")
    release_memory()
    return {"first": first, "kept": kept, "alone": alone, "traced": [traced, none, anew]}


if __name__ == "__main__":
    print(json.dumps({name: of_family(name, Path(sys.argv[1], name)) for name in sys.argv[2:]}))
