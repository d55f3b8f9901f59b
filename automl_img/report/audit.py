"""The page of an audit: what was found of a data set, with the pictures that show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automl_img.data.audit import Audit, Finding
from automl_img.data.pictures import picture_of
from automl_img.report.render import write_page

_SIDE = 96
_MOST_GROUPS = 12
_MOST_OF_A_GROUP = 6


@dataclass(frozen=True)
class Picture:
    """One image on the page.

    Attributes:
        source: as a data URI; empty where the file has gone meanwhile.
        part: empty where the data cannot be split.
    """

    source: str
    name: str
    label: str
    part: str


def write_audit(audit: Audit, path: Path) -> None:
    """Write the page; the same data give the same bytes.

    Raises:
        DataError: ``path`` cannot be written.
    """
    findings = [(finding, _pictures(audit, finding)) for finding in audit.findings]
    write_page("audit.html.j2", path, audit=audit, findings=findings)


def _pictures(audit: Audit, finding: Finding) -> list[tuple[list[Picture], int]]:
    """The first pictures of each of the first groups, and how many there are beside them."""
    return [
        (
            [_picture(audit, row) for row in group[:_MOST_OF_A_GROUP]],
            max(0, len(group) - _MOST_OF_A_GROUP),
        )
        for group in finding.groups[:_MOST_GROUPS]
    ]


def _picture(audit: Audit, row: int) -> Picture:
    index = audit.index
    label = index.label_of(row)
    return Picture(picture_of(index.paths[row], _SIDE), index.names[row], label, audit.part_of(row))
