"""Which networks train faster in bfloat16 on a processor that multiplies in it.

A step of our trainer with the policy `mixed_bfloat16` over one in float32, of the same network on
the same batches, step by step in turn, on as many threads as TensorFlow takes. Networks from
scratch of several widths, and the smallest of each family of pretrained ones, all of it trained,
from random weights. A family says by `BFLOAT16_ON_CPU` in its file whether a search trains it so; a
processor without such instructions has nothing to compare, and then this does not run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import frame
import trials

from automl_img.data.prepare import Prepared

GOAL = (
    "what a search trains in bfloat16 on this CPU takes at most 1.02 of the step in float32, and "
    "none of the other families less than 0.8"
)
_MOST = 1.02
_LEAST = 0.8
_SIDE = 64
_BATCH = 32
_ROUNDS = 3
_STEPS = 1
_FILTERS = (8, 16, 32, 64)


def main() -> None:
    short = frame.asked_short(__doc__)
    frame.quiet()
    from automl_img.models import backbones
    from automl_img.models.backbones import family_of
    from automl_img.plugins import leaves
    from automl_img.search.hardware import cpu_precision

    if cpu_precision() == "float32":
        frame.cannot_run("precision", GOAL, "this processor does not multiply in bfloat16")
        return
    smallest = [leaf.VARIANTS[0] for leaf in leaves(backbones) if leaf.VARIANTS[0] != "cnn"]
    networks = {
        **{f"cnn, {n} filters": {"cnn__filters": str(n)} for n in _FILTERS},
        **{name: {"backbone": name, "weights": "none"} for name in smallest},
    }
    figures: dict[str, float | int | str | bool] = {"side": _SIDE, "images of a step": _BATCH}
    met = True
    with frame.workspace() as folder:
        ready, figures["images"] = trials.images(folder, _SIDE, 20)
        for name, typed in list(networks.items())[: 1 if short else None]:
            half, full = _compare(ready, folder / name, typed, 2 if short else _ROUNDS)
            figures |= frame.in_ratios(name, half, full)
            faster = family_of(typed.get("backbone", "cnn")).BFLOAT16_ON_CPU
            met &= half.over(full) <= _MOST if faster else half.over(full) >= _LEAST
    frame.finish("precision", figures, GOAL, met, short)


def _compare(
    ready: Prepared, folder: Path, typed: dict[str, str], rounds: int
) -> tuple[frame.Times, frame.Times]:
    work = {
        name: _steps(ready, folder / name, typed, name) for name in ("mixed_bfloat16", "float32")
    }
    times = frame.alternate(work, rounds)
    return times["mixed_bfloat16"], times["float32"]


def _steps(ready: Prepared, folder: Path, typed: dict[str, str], name: str) -> Callable[[], Any]:
    """Some steps of a model that was traced."""
    import numpy as np

    from automl_img.data.batches import Batches
    from automl_img.models.network import training_model
    from automl_img.training.graphs import GraphCache, key_of
    from automl_img.training.inputs import TrialImages

    params = trials.params_of(batch_size=str(_BATCH), augment__strength="0.5", **typed)
    spec = trials.spec_of(ready, folder, params, precision=name)
    data = TrialImages(spec)
    facts = data.facts(spec)
    steps = GraphCache().get(
        key_of(params, facts, None, None, name), lambda: training_model(params, facts, None, None)
    )
    steps.model.start(params, spec.seed)
    batches = Batches(data.images, data.labels, np.concatenate(data.parts), _BATCH, spec.seed)

    def run() -> None:
        steps.train(batches, 0, range(_STEPS))

    run()
    return run


if __name__ == "__main__":
    main()
