"""A page taken apart with the HTML parser of the standard library."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """Elements with their attributes, text, and scripts of a page.

    Attributes:
        elements: (tag, attributes) in order.
        ids: of all elements.
        text: all text outside of scripts and styles.
        scripts: (attributes, content).
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._inside: str | None = None
        self.feed(html)
        self.close()

    @classmethod
    def of(cls, path: Path) -> Page:
        return cls(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attributes, content = self.scripts[-1]
            self.scripts[-1] = (attributes, content + data)
        elif self._inside is None:
            self.text += data

    @property
    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.elements if "id" in attributes]

    @property
    def shape(self) -> Counter[tuple[str, ...]]:
        """How often each element with each set of attributes occurs."""
        return Counter((tag, *sorted(attributes)) for tag, attributes in self.elements)

    def figures(self) -> dict[str, dict[str, Any]]:
        """The figures by id, as they reach plotly.js."""
        return {
            str(attributes["data-figure"]): json.loads(content)
            for attributes, content in self.scripts
            if "data-figure" in attributes
        }

    def plotly(self) -> str:
        """The source of plotly.js on the page."""
        packed = [text for attributes, text in self.scripts if attributes.get("id") == "plotly"]
        return gzip.decompress(base64.b64decode(packed[0])).decode() if packed else ""

    def policy(self) -> str:
        for tag, attributes in self.elements:
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy":
                return str(attributes["content"])
        return ""
