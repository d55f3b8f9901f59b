"""Write the report of a run: ``report.html``, and ``report.json`` with the same numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from automl_img.errors import DataError
from automl_img.files import write_text
from automl_img.plugins import leaves
from automl_img.report import sections as section_files
from automl_img.report.blocks import Section, Skipped, Text
from automl_img.report.card import Card, load_card
from automl_img.report.drawing import DASH, share
from automl_img.report.verdict import Verdict, verdict
from automl_img.runs import Run
from automl_img.shipped import shipped

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)

Named = tuple[str, Section | Skipped]


def write_report(run: Run, strict: bool = False) -> Path:
    """Write the report of ``run``, as far as the run has come, and return its path.

    The same run folder gives the same bytes. A section that fails becomes a visible box.

    Args:
        run: finished, interrupted or still running.
        strict: raise what a section raises, for tests and developers.

    Raises:
        RunError: ``run.json`` is missing or damaged.
    """
    card = load_card(run)
    sections = build_sections(card, strict)
    write_text(run.report, page(card, sections))
    run.write_json("report.json", summary(card, sections))
    return run.report


def build_sections(card: Card, strict: bool = False) -> list[Named]:
    """Every section in reading order, with the name of its file, which is its anchor too."""
    files = sorted(leaves(section_files), key=lambda file: (file.ORDER, file.__name__))
    return [(file.__name__.rpartition(".")[2], _built(file, card, strict)) for file in files]


def _built(file: ModuleType, card: Card, strict: bool) -> Section | Skipped:
    try:
        built: Section | Skipped = file.build(card)
    except Exception as error:
        if strict:
            raise
        log.debug("section %s failed", file.__name__, exc_info=True)
        name = file.__name__.rpartition(".")[2]
        title = str(getattr(file, "TITLE", name.capitalize()))
        reason = f"This section could not be built: {type(error).__name__}: {error}"
        return Section(title, "", (Text(reason, alert=True),), {"failed": reason})
    return built


def page(card: Card, sections: list[Named]) -> str:
    """The page, as HTML."""
    from automl_img.report import page as parts

    script = (shipped("reports") / "report.js").read_text(encoding="utf-8")
    figures = parts.figures(sections)
    plotly = parts.plotly_source() if figures else ""
    template = _environment().get_template("report.html.j2")
    return template.render(
        card=card,
        found=verdict(card),
        sections=[(name, item) for name, item in sections if isinstance(item, Section)],
        skipped=[(name, item) for name, item in sections if isinstance(item, Skipped)],
        style=(shipped("reports") / "report.css").read_text(encoding="utf-8"),
        script=script,
        policy=parts.policy(script, *([plotly] if plotly else [])),
        packed=parts.plotly_packed() if figures else "",
        figures=[(item.id, _figure_json(item)) for item in figures],
        title=title(verdict(card), card.name),
        baseline=card.test.number("baseline") if card.test else None,
    )


def summary(card: Card, sections: list[Named]) -> dict[str, Any]:
    """What ``report.json`` holds: the numbers of the page, by section."""
    return {
        "format": 1,
        "run": card.name,
        "sections": {
            name: {"status": "skipped", "reason": item.reason}
            if isinstance(item, Skipped)
            else {"status": "failed" if "failed" in item.numbers else "built", **item.numbers}
            for name, item in sections
        },
    }


def title(found: Verdict, name: str) -> str:
    """The title of the page, which starts with the number."""
    start = (
        "no result" if found.accuracy is None else f"{share(found.accuracy)} {found.kind} accuracy"
    )
    return f"{start} {DASH} {name}"


def _figure_json(figure: Any) -> str:
    from automl_img.report.page import script_json

    return script_json({"data": figure.data, "layout": figure.layout})


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write a page without scripts, in the style of the report.

    Raises:
        DataError: ``path`` cannot be written.
    """
    from automl_img.report.page import policy

    style = (shipped("reports") / "report.css").read_text(encoding="utf-8")
    page = _environment().get_template(template).render(style=style, policy=policy(), **values)
    try:
        write_text(path, page)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None


def _environment() -> Environment:
    """Jinja2 for the templates of ``reports/``, which escapes what it is given."""
    import jinja2

    from automl_img.report import drawing

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped("reports")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(number=drawing.number, counted=drawing.counted, share=drawing.share)
    return found
