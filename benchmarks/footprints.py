"""Whether the memory of training that is told beforehand is what a process then really holds.

The smallest network of each family and one from scratch, all of it trained, each in a process of
its own, at a batch size whose estimate is about 1 GB: what was told from the size of the network
before it was built, what was told from its layers, and what the process grew by. A search believes
three quarters of an estimate until it has measured a trial of the same backbone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import frame
import trials

GOAL = "of each family a process grows by at least three quarters of what is told of it"
_LEAST = 0.75
_SIDE = 96
_TOLD = 1e9
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 256
_PER_CLASS = 40


def main() -> None:
    if len(sys.argv) == 4:
        print(json.dumps(_measure(sys.argv[1], sys.argv[2] == "short", Path(sys.argv[3]))))
        return
    short = frame.asked_short(__doc__)
    frame.quiet()
    from automl_img.models import backbones
    from automl_img.plugins import leaves

    names = [leaf.VARIANTS[0] for leaf in leaves(backbones)]
    figures: dict[str, Any] = {"side": _SIDE}
    shares = []
    with frame.workspace() as folder:
        for name in ["cnn", "mobilenet_v3_small"] if short else names:
            found = _in_own_process(name, short, folder / name)
            figures |= {f"{name}: {what}": value for what, value in found.items()}
            shares += [value for what, value in found.items() if what.startswith("grown /")]
    frame.finish("footprints", figures, GOAL, min(shares) >= _LEAST, short)


def _in_own_process(name: str, short: bool, folder: Path) -> dict[str, float]:
    folder.mkdir(parents=True)
    asked = [sys.executable, __file__, name, "short" if short else "full", str(folder)]
    ended = subprocess.run(asked, capture_output=True, text=True, check=True, env=os.environ)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _measure(name: str, short: bool, folder: Path) -> dict[str, float]:
    """Train an epoch of ``name`` in this process, and compare."""
    frame.quiet()
    from automl_img.training.costs import estimate
    from automl_img.training.footprint import memory_facts
    from automl_img.training.trainer import Trainer

    ready, _ = trials.images(folder, _SIDE, 5 if short else _PER_CLASS)
    fix = {"cnn__filters": "64"} if name == "cnn" else {"weights": "none", "backbone": name}
    params = trials.params_of(augment__strength="0", **fix)
    told = estimate(params, ready.image_size, ready.channels, "float32")
    batch = int((_TOLD - told.fixed_bytes) / told.image_bytes)
    params["batch_size"] = 8 if short else max(_SMALLEST_BATCH, min(batch, _LARGEST_BATCH))
    spec = trials.spec_of(ready, folder / "trial", params, max_epochs=1)
    trainer = Trainer(spec)
    list(trainer.epochs())
    facts = memory_facts(spec, trainer.model, trained=True)
    before = told.of(params["batch_size"])
    layers = facts["fixed_bytes"] + params["batch_size"] * facts["image_bytes"]
    return {
        "batch size": params["batch_size"],
        "told before, MB": round(before / 1e6),
        "told from its layers, MB": round(layers / 1e6),
        "grown, MB": round(facts["grown_bytes"] / 1e6),
        "grown / told before": round(facts["grown_bytes"] / before, 2),
        "grown / told from its layers": round(facts["grown_bytes"] / layers, 2),
    }


if __name__ == "__main__":
    main()
