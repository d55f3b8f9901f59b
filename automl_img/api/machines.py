"""Public functions on the machines that trials run on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from automl_img.api.runs import RUNS

if TYPE_CHECKING:
    from automl_img.search.doctor import Diagnosis


def doctor(address: str = "local", *, out: str | Path = RUNS) -> Diagnosis:
    """Look for what would stop a search on this machine, or on the nodes of a Ray cluster.

    Args:
        address: of the cluster, "auto" or "HOST:PORT"; "local" looks at this machine alone.
        out: the folder that runs would be written to, or its URL.

    Returns:
        The nodes and what is wrong; nothing where ``troubles`` is empty.

    Raises:
        SettingsError: there is no cluster at ``address``, or a node does not answer.
        RunError: the URL cannot be written.
    """
    from automl_img.search.doctor import diagnose

    return diagnose(address, out)
