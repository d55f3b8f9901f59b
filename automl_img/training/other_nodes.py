"""What a trial asks of the other nodes of a cluster, see ``automl_img.search.node_features``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol


class OtherNodes(Protocol):
    """Outputs of frozen backbones that are in the caches of other nodes."""

    def facts(self, name: str) -> dict[str, Any] | None:
        """What one of them has told of ``name``; None where nobody has."""

    def bring(self, name: str, target: Path, look: Callable[[], None]) -> dict[str, Any] | None:
        """Fill ``target`` from the file of its name in the folder ``name`` of another node.

        Args:
            look: called between pieces and each second of a wait, which end with what it raises.

        Returns:
            The meta of that folder; None where no other node has it, or computing is cheaper:
            ``target`` may be there in part.

        Raises:
            DataError: it does not fit on the disk.
            OSError: it cannot be written.
        """

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        """Let the others know what is in the cache of this node.

        Args:
            facts: of a folder its meta, which says in ``seconds`` what computing it took.
        """


class Alone:
    """Without a cluster; see ``OtherNodes``."""

    def facts(self, name: str) -> dict[str, Any] | None:
        return None

    def bring(self, name: str, target: Path, look: Callable[[], None]) -> dict[str, Any] | None:
        return None

    def tell(self, name: str, facts: dict[str, Any]) -> None:
        pass
