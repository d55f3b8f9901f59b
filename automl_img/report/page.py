"""The parts of the page that are not HTML: Plotly packed, figures as JSON, the script policy."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from functools import cache
from typing import Any

from automl_img.files import json_safe
from automl_img.report.blocks import Figure, Section, Skipped

# Half of the time of the highest level, for a page that is 4 % larger.
_LEVEL = 4


@cache
def plotly_source() -> str:
    """plotly.js as it ships with the plotly package, about 4.8 MB."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


@cache
def plotly_packed() -> str:
    """plotly.js gzipped, in base64, the same bytes each time; about 2 MB."""
    packed = gzip.compress(plotly_source().encode(), _LEVEL, mtime=0)
    return base64.b64encode(packed).decode()


def policy(*scripts: str) -> str:
    """The content-security policy that lets these scripts run, byte for byte, and nothing else."""
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; form-action 'none'; base-uri 'none'"
    )


def figures(sections: list[tuple[str, Section | Skipped]]) -> list[Figure]:
    """All figures of the page, in reading order."""
    built = [section for _, section in sections if isinstance(section, Section)]
    return [block for section in built for block in section.blocks if isinstance(block, Figure)]


def script_json(value: Any) -> str:
    """``value`` as JSON that cannot end the ``<script>`` element that holds it."""
    text = json.dumps(json_safe(value), sort_keys=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
