"""The page of an audit: what was found of a data set, with the pictures that show it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from automl_img.data.audit import Audit, Finding
from automl_img.data.pictures import as_webp
from automl_img.errors import DataError
from automl_img.files import write_text
from automl_img.report.page import policy
from automl_img.report.render import environment
from automl_img.shipped import shipped

_SIDE = 96
_MOST_GROUPS = 12
_MOST_OF_A_GROUP = 6


@dataclass(frozen=True)
class Picture:
    """One image on the page.

    Attributes:
        source: as a data URI; empty where the file has gone meanwhile.
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
    page = (
        environment()
        .get_template("audit.html.j2")
        .render(
            audit=audit,
            findings=[(finding, _pictures(audit, finding)) for finding in audit.findings],
            style=(shipped("reports") / "report.css").read_text(encoding="utf-8"),
            policy=policy(),
        )
    )
    try:
        write_text(path, page)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None


def _pictures(audit: Audit, finding: Finding) -> list[list[Picture]]:
    return [
        [_picture(audit, row) for row in group[:_MOST_OF_A_GROUP]]
        for group in finding.groups[:_MOST_GROUPS]
    ]


def _picture(audit: Audit, row: int) -> Picture:
    index = audit.index
    picture = as_webp(index.paths[row], _SIDE)
    source = f"data:image/webp;base64,{base64.b64encode(picture).decode()}" if picture else ""
    label = index.class_names[index.labels[row]]
    return Picture(source, index.names[row], label, audit.part_of(row))
