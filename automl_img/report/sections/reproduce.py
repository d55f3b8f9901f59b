"""How to do it again, how to use the model, and what it is for."""

from __future__ import annotations

import datetime
import shlex
from typing import Any

from automl_img.report.blocks import Block, Code, Pairs, Section, Text
from automl_img.report.card import Card
from automl_img.report.drawing import counted, duration, significant
from automl_img.report.facts import SPLITS

ORDER = 120
TITLE = "Reproduce and use"
NOTHING = "not recorded"


def build(card: Card) -> Section:
    info = card.info
    blocks: list[Block] = [Code("The command of this run", str(info.get("command") or NOTHING))]
    blocks.append(Code("Predict", f"automl-img predict {shlex.quote(card.name)} IMAGE..."))
    load = f'from automl_img import load_run\n\nrun = load_run("{_quoted(card.name)}")'
    blocks += [Code("Load in Python", load), Pairs(_recorded(card))]
    if card.winner:
        params = sorted(card.winner.params.items())
        blocks.append(Text("All hyperparameters of the winner:"))
        blocks.append(Pairs(tuple((name, significant(value)) for name, value in params)))
    blocks.append(
        Text(
            "Intended use and limits: to be filled in by whoever publishes the model. Say which "
            "images it is for, which it is not for, and what a wrong answer costs. The scores "
            "hold for images drawn like the test images, and for no others."
        )
    )
    return Section(TITLE, "How do I get the same result, and use it?", tuple(blocks))


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _recorded(card: Card) -> tuple[tuple[str, str], ...]:
    info, data = card.info, card.data
    sizes = [f"{data.splits[split]:,} {split}" for split in SPLITS if split in data.splits]
    image = (
        f"{data.image_size} \N{MULTIPLICATION SIGN} {data.image_size}" if data.image_size else ""
    )
    channels = {1: ", grey", 3: ", colour"}.get(data.channels or 0, "")
    versions = _dict(info.get("versions"))
    shown = {
        "Status": str(info.get("status") or ""),
        "Started": _moment(info.get("started")),
        "Finished": _moment(info.get("finished")),
        "Seed": "" if info.get("seed") is None else str(info["seed"]),
        "Data": " ".join(filter(None, [data.source, f"({data.kind})" if data.kind else ""])),
        "Images": ", ".join(sizes),
        "Image size": image + channels if image else "",
        "Data fingerprint": data.fingerprint,
        "Search": _search(card),
        "Trials": _trials(card),
        "Hardware": _hardware(_dict(info.get("hardware"))),
        "Versions": ", ".join(f"{name} {versions[name]}" for name in sorted(versions)),
        "Time": ", ".join(
            f"{name} {duration(seconds)}"
            for name, seconds in _dict(info.get("seconds")).items()
            if isinstance(seconds, (int, float))
        ),
    }
    return tuple((name, value or NOTHING) for name, value in shown.items())


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _trials(card: Card) -> str:
    count, search = len(card.trials), card.search
    if search.budget:
        return f"{count} of {search.budget}"
    return f"{count}, in a budget of {search.allowed}" if search.allowed else ""


def _search(card: Card) -> str:
    search = card.search
    parts = []
    if search.space:
        parts.append(f"space {search.space}")
    if search.sampler:
        parts.append(f"sampler {search.sampler}")
    if search.max_epochs:
        parts.append(f"at most {counted(search.max_epochs, 'epoch')}")
    if search.rungs:
        rungs = ", ".join(map(str, search.rungs))
        parts.append(f"rungs at {rungs} epochs (the best 1/{search.reduction_factor} goes on)")
    return ", ".join(parts)


def _hardware(found: dict[str, Any]) -> str:
    parts = [str(found["cpu"])] if found.get("cpu") else []
    if found.get("cores"):
        parts.append(counted(int(found["cores"]), "core"))
    if found.get("memory_gb"):
        parts.append(f"{float(found['memory_gb']):.0f} GB memory")
    gpus = [str(gpu) for gpu in found.get("gpus") or ()]
    if found:
        parts.append(", ".join(gpus) if gpus else "no GPU")
    if found.get("workers"):
        threads = found.get("threads_per_worker")
        each = f" of {counted(int(threads), 'thread')}" if threads else ""
        parts.append(counted(int(found["workers"]), "worker") + each)
    return ", ".join(parts)


def _moment(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
