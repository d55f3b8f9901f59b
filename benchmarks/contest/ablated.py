"""automl-img with one part taken out: ``python -m contest.ablated PART search DATA ...``.

The part is replaced in this process before the command runs as always; the product has no switch
that only a benchmark would use. A part that is not where it is looked for any more is an error.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def without_graphs(config: dict[str, Any]) -> None:
    """``run_trial`` in a worker that keeps no graph: each trial builds and traces its own."""
    from automl_img.search import worker
    from automl_img.training import graphs

    if graphs.GraphCache.__name__ != "Forgetful":

        class Forgetful(graphs.GraphCache):
            def get(self, *arguments: Any) -> Any:
                """Every graph is the first one."""
                while self.shrink():
                    pass
                return super().get(*arguments)

        graphs.GraphCache = Forgetful  # type: ignore[misc]
    worker.run_trial(config)


def _without_rungs() -> Any:
    from automl_img.search.rungs import Rungs

    class NoRungs(Rungs):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            """No trial is asked whether it may go on."""
            super().__init__(*arguments, **keywords)
            self.epochs = []

    return NoRungs


def _nothing(*_: Any, **__: Any) -> list[Any]:
    return []


# Module and name of each part, and what makes its replacement.
PARTS: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "start-set": ("automl_img.search.start", "start_set", lambda: _nothing),
    "probes": ("automl_img.search.start", "probes_of", lambda: _nothing),
    "asha": ("automl_img.search.session", "Rungs", _without_rungs),
    "ladders": ("automl_img.search.conductor", "ladder_of", lambda: lambda params: "all"),
    "graphs": ("automl_img.search.engine", "run_trial", lambda: without_graphs),
}


def take_out(part: str) -> None:
    """Replace ``part`` in this process.

    Raises:
        AttributeError: the part is not there any more.
    """
    module_name, name, replacement = PARTS[part]
    module = importlib.import_module(module_name)
    getattr(module, name)
    setattr(module, name, replacement())


def main(part: str, *arguments: str) -> None:
    # As ``python -m`` runs it, this module is __main__, which a worker cannot import.
    from automl_img.cli.main import main as command
    from contest import ablated

    ablated.take_out(part)
    sys.argv = ["automl-img", *arguments]
    command()


if __name__ == "__main__":
    main(*sys.argv[1:])
