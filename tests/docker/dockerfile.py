"""A Dockerfile as a list of steps, and those carried out in folders, without a Docker engine.

Of the language it knows what our files say. What it does not know it refuses: a step that was left
out would make the test of a recipe worthless.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Step:
    """One instruction: ``flags`` are its ``--name=value``, ``rest`` is what follows them."""

    word: str
    flags: tuple[str, ...]
    rest: str

    @property
    def flag(self) -> dict[str, str]:
        return dict(each[2:].split("=", 1) for each in self.flags)


@dataclass
class Stage:
    """What comes of a ``FROM``: a folder with its files, and the settings of its image."""

    base: str
    root: Path
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0"
    settings: dict[str, str] = field(default_factory=dict)


# Runs a command of a shell in a stage; raises where its exit code is not 0.
Run = Callable[[Stage, str], None]


def parse(path: Path) -> list[Step]:
    """The steps of a Dockerfile, in order."""
    text = "\n".join(
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    return [step(line) for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


def step(line: str) -> Step:
    word, _, rest = line.strip().partition(" ")
    flags = []
    while rest.lstrip().startswith("--"):
        flag, _, rest = rest.lstrip().partition(" ")
        flags.append(flag)
    return Step(word, tuple(flags), rest.strip())


def stages(steps: list[Step]) -> list[tuple[str, list[Step]]]:
    """(name, steps) of each stage; the last one, which has no name, is called ``image``."""
    found: list[tuple[str, list[Step]]] = []
    for each in steps:
        if each.word == "FROM":
            name = each.rest.partition(" AS ")[2]
            found.append((name or "image", []))
        found[-1][1].append(each)
    return found


def build(
    steps: list[Step], base: Callable[[str, str], Path], run: Run, context: Path = ROOT
) -> dict[str, Stage]:
    """Carry out the steps of stages.

    Args:
        base: the folder of a new stage, by the image that it begins from and by its name.
    """
    made: dict[str, Stage] = {}
    for name, own in stages(steps):
        image = own[0].rest.partition(" AS ")[0]
        stage = made[name] = Stage(image, base(image, name))
        for each in own[1:]:
            carry_out(each, stage, made, run, context)
    return made


def carry_out(step: Step, stage: Stage, made: Mapping[str, Stage], run: Run, context: Path) -> None:
    match step.word:
        case "RUN":
            with mounted(step, stage, made, context):
                run(stage, step.rest)
        case "COPY":
            copy(step, stage, made, context)
        case "ENV":
            for pair in shlex.split(step.rest):
                name, _, value = pair.partition("=")
                stage.env[name] = value.replace("$PATH", stage.env.get("PATH", DEFAULT_PATH))
        case "WORKDIR":
            stage.folder = step.rest
            inside(stage, step.rest).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = step.rest
        case "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
            stage.settings[step.word] = step.rest
        case _:
            raise ValueError(f"a step that this cannot carry out: {step}")


DEFAULT_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def words(setting: str) -> list[str]:
    """A command in its JSON form; that of a HEALTHCHECK comes after its CMD."""
    found: list[str] = json.loads(setting.removeprefix("CMD "))
    return found


def inside(stage: Stage, path: str) -> Path:
    """Where a path of an image lies here."""
    return stage.root / str(PurePosixPath(stage.folder) / path).lstrip("/")


def copy(step: Step, stage: Stage, made: Mapping[str, Stage], context: Path) -> None:
    """COPY: a folder's content, or files; from another stage, or from what may be sent of here."""
    unknown = set(step.flag) - {"from", "chmod"}
    if unknown:
        raise ValueError(f"COPY with {unknown}")
    *sources, target = step.rest.split()
    for source in sources:
        place = inside(stage, target)
        if other := step.flag.get("from"):
            origin, ignored = made[other].root / source.lstrip("/"), None
        else:
            origin, ignored = context / source, ignoring(context)
            if not sent(origin.relative_to(context)):
                raise ValueError(f".dockerignore leaves out {source}")
        if origin.is_dir():
            shutil.copytree(origin, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)
            continue
        if target.endswith("/"):
            place = place / origin.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(origin, place)
        if mode := step.flag.get("chmod"):
            place.chmod(int(mode, 8))


@contextmanager
def mounted(step: Step, stage: Stage, made: Mapping[str, Stage], context: Path) -> Iterator[None]:
    """What ``--mount=type=bind`` lays in for one step; here copied in, and removed after it."""
    laid = []
    for flag in step.flags:
        mount = dict(pair.split("=", 1) for pair in flag.removeprefix("--mount=").split(","))
        if mount.pop("type") != "bind" or set(mount) - {"from", "source", "target"}:
            raise ValueError(f"RUN with {flag}")
        root = made[mount["from"]].root if "from" in mount else context
        origin, place = root / mount["source"].lstrip("/"), inside(stage, mount["target"])
        if "from" not in mount and not sent(origin.relative_to(context)):
            raise ValueError(f".dockerignore leaves out {mount['source']}")
        place.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, place)
        else:
            shutil.copy2(origin, place)
        laid.append(place)
    yield
    for place in laid:
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def sent(path: Path) -> bool:
    """Whether ``.dockerignore`` lets ``path``, relative to the root, into the context."""
    allowed = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            keeps, pattern = line.startswith("!"), line.removeprefix("!")
            deep = pattern.removeprefix("**/")
            parents = [path, *path.parents][:-1]
            if any(
                fnmatch(str(each), pattern) if deep == pattern else each.name == deep
                for each in parents
            ):
                allowed = keeps
    return allowed


def ignoring(context: Path) -> Callable[[str, list[str]], list[str]]:
    return lambda folder, names: [
        name for name in names if not sent((Path(folder) / name).relative_to(context))
    ]


def pins(lock: str) -> dict[str, str]:
    """The versions that a lock file names."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)", text, re.MULTILINE))
