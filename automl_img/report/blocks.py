"""What a section is made of: facts and drawings as plain values; the template turns them to HTML.

All text is plain text here. The template escapes it for HTML; text inside a Plotly figure goes
through ``label`` of ``drawing.py`` first, because Plotly reads a kind of HTML too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Cell:
    """One cell of a table: what is shown, and the number that it sorts by."""

    shown: str
    sort: float | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        id: unique on the page.
        caption: one line that says what the rows are.
        columns: names; those in ``numeric`` are set flush right.
        rows: as many cells as columns; the first one is the row's heading.
        folded: closed at first, under its caption.
        left_out: rows that were too many to show.
    """

    kind: ClassVar[str] = "table"
    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[str] = frozenset()
    folded: bool = False
    left_out: int = 0


@dataclass(frozen=True)
class Figure:
    """A Plotly figure without a template; the page sets fonts and colours of its theme.

    Attributes:
        id: unique on the page.
        heading: the conclusion, as a sentence.
        caption: how it was made, and how to read it.
        data, layout: as in ``plotly.graph_objects.Figure``.
        height: in pixels.
        table: the same numbers.
        wide: takes both columns.
        action: what a click does, for the page's script: "show-confusion" or nothing.
    """

    kind: ClassVar[str] = "figure"
    id: str
    heading: str
    caption: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    table: Table | None = None
    height: int = 340
    wide: bool = False
    action: str = ""


@dataclass(frozen=True)
class Tile:
    """One score: ``shown`` is ``value`` as the page writes it."""

    name: str
    value: float | None
    shown: str
    detail: str = ""


@dataclass(frozen=True)
class Tiles:
    kind: ClassVar[str] = "tiles"
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Text:
    """A paragraph; ``alert`` sets it in a box."""

    kind: ClassVar[str] = "text"
    text: str
    alert: bool = False


@dataclass(frozen=True)
class Code:
    """Something to copy."""

    kind: ClassVar[str] = "code"
    name: str
    text: str


@dataclass(frozen=True)
class Pairs:
    """Names and values."""

    kind: ClassVar[str] = "pairs"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picture:
    """A test image and what was said about it; ``likely``: (class, probability), best first."""

    row: int
    source: str
    side: int
    name: str
    true: str
    predicted: str
    group: str
    likely: tuple[tuple[str, float], ...]

    @property
    def wrong(self) -> bool:
        return self.group == "mistake"


@dataclass(frozen=True)
class Gallery:
    """Test images with filters; ``groups`` maps a group to its name."""

    kind: ClassVar[str] = "gallery"
    pictures: tuple[Picture, ...]
    groups: dict[str, str]
    classes: tuple[str, ...]


CHECK, NOTE, GOOD = "check", "note", "good"


@dataclass(frozen=True)
class Finding:
    """Something to know before the model is used.

    Attributes:
        level: CHECK, NOTE or GOOD.
        text: one or two sentences that say no more than the number shows.
        section: where the evidence is.
        rule: the name of the rule that found it.
    """

    level: str
    text: str
    section: str
    rule: str


@dataclass(frozen=True)
class Findings:
    kind: ClassVar[str] = "findings"
    findings: tuple[Finding, ...]
    checks: int


@dataclass(frozen=True)
class Threshold:
    """What happens when the model may say "I don't know" below a probability.

    Attributes:
        steps: (threshold, images answered, of these correct), by ascending threshold.
        images: in all.
    """

    kind: ClassVar[str] = "threshold"
    steps: tuple[tuple[float, int, int], ...]
    images: int


Block = Table | Figure | Tiles | Text | Code | Pairs | Gallery | Findings | Threshold


@dataclass(frozen=True)
class Section:
    """One section: its title, the question it answers in one line, and its blocks.

    ``numbers`` goes to ``report.json`` as it is.
    """

    title: str
    question: str
    blocks: tuple[Block, ...]
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A section that this run has nothing for."""

    title: str
    reason: str
