"""Files between the driver's node and a node that does not have them, through Ray's object store.

A trial on another node finds the pixels, the weights and its checkpoint in the cache of that node:
pixels and weights are brought once a node and kept, by their content; the folder of the trial is
brought as it starts, and what changes in it is sent back before each report. So the run folder is
whole whenever the driver hears of an epoch, and another node can go on from there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import ray

from automl_img.data.cache import built_once, cache_root, check_space, read_meta
from automl_img.errors import SettingsError, TrialFailed
from automl_img.files import replacing, write_text
from automl_img.search.cluster import SAME
from automl_img.search.file_server import PIECE, FileServer, digest_of_file
from automl_img.search.hardware import describe_versions
from automl_img.search.node_features import FEATURES, NodeFeatures
from automl_img.training.watchdog import FILE as HANG
from automl_img.trials import TrialSpec

_AT_ONCE = 8
# Seconds after which no search can still want what a process that died has left.
_ABANDONED = 2 * 24 * 3600.0
# In the cache of a node: what it has of runs, of weights.
_TRIALS, _WEIGHTS = "trials", "shipped"
# In the run folder, as long as it is served.
_TOKEN = ".driver"


@dataclass(frozen=True)
class Shipping:
    """What a worker needs to have files brought; it travels with each trial.

    Attributes:
        run: the run folder on the driver's node.
        token: names the actor ``FileServer``; it is the content of a file in that folder too, by
            which a worker sees whether it has the folder itself.
        versions: of Python and packages of the driver, as JSON.
    """

    run: str
    token: str
    versions: str


@contextmanager
def serving(run: Path, others: Sequence[str]) -> Iterator[Shipping]:
    """Serve the files of a search from this node to the others of the cluster.

    Args:
        run: the run folder.
        others: files and folders that trials read.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_concurrency=_AT_ONCE)(FileServer)
    token = os.urandom(16).hex()
    server = actor.options(name=token, scheduling_strategy=here).remote(str(run), list(others))
    write_text(run / _TOKEN, token)
    try:
        yield Shipping(str(run), token, json.dumps(describe_versions()))
    finally:
        (run / _TOKEN).unlink(missing_ok=True)
        ray.kill(server)


class NodeFiles:
    """The files of a search on this node.

    Attributes:
        features: what other nodes have computed.
        sees_run: whether it sees the run folder itself.
    """

    def __init__(self, shipping: Shipping) -> None:
        """
        Raises:
            SettingsError: this node joined later, and has other versions than the driver.
            TrialFailed: the driver's node does not serve them any more.
        """
        here, there = describe_versions(), json.loads(shipping.versions)
        for name in SAME:
            if here[name] != there[name]:
                raise SettingsError(
                    f"every node must have {name} {there[name]}, as the driver has, but "
                    f"{socket.gethostname()} has {here[name]}"
                )
        try:
            self._server, self._run = ray.get_actor(shipping.token), shipping.run
        except ValueError:
            raise TrialFailed("the driver's node does not serve its files any more") from None
        self.features = NodeFeatures(self._server)
        self.sees_run = False
        with suppress(OSError):
            token = (Path(shipping.run) / _TOKEN).read_text(encoding="utf-8")
            self.sees_run = token == shipping.token
        self._root = cache_root() / _TRIALS / shipping.token
        self._folder: Path | None = None
        # What the driver has of the present trial, as the files here looked then.
        self._sent: dict[str, tuple[int, int]] = {}
        _sweep(self._root)
        self._tell_hangs()
        self.features.tell_all()

    def local(self, spec: TrialSpec) -> TrialSpec:
        """``spec`` with the paths of this node, where everything is by then.

        Raises:
            DataError: the cache here cannot be written, or is full.
            TrialFailed: the driver's node has lost some.
            ray.exceptions.RayError: the driver's node is gone.
        """
        spec = dataclasses.replace(
            spec,
            pixels=self._kept(spec.pixels, cache_root() / "pixels" / Path(spec.pixels).name),
            weights=spec.weights and self._weights(spec.weights),
            features=spec.features and str(cache_root() / FEATURES),
        )
        if self.sees_run:
            return spec
        self._forget()
        self._root.mkdir(parents=True, exist_ok=True)
        os.utime(self._root)
        rows = self._root / Path(spec.rows).name
        if not rows.exists():
            self._bring(spec.rows, rows)
        folder = self._brought(spec.folder)
        self._folder, self._sent = folder, _states(folder)
        return dataclasses.replace(
            spec,
            rows=str(rows),
            folder=str(folder),
            instead=spec.instead and str(self._brought(spec.instead)),
            goes_on_from=spec.goes_on_from and str(self._brought(spec.goes_on_from)),
        )

    def send(self) -> None:
        """Bring what has changed in the folder of the trial to the driver's node.

        Raises:
            ray.exceptions.RayError: that is gone, or cannot be written.
        """
        if self._folder is None:
            return
        os.utime(self._root)
        target = f"{self._run}/{self._folder.relative_to(self._root).as_posix()}"
        states = _states(self._folder)
        for name in states.keys() | self._sent.keys():
            if name not in states:
                ray.get(self._server.remove.remote(f"{target}/{name}"))
            elif states[name] != self._sent.get(name):
                pieces = list(_pieces(self._folder / name))
                ray.get(self._server.write.remote(f"{target}/{name}", pieces))
        self._sent = states

    def _forget(self) -> None:
        """Remove what is here of the trial before; the driver has it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _brought(self, folder: str) -> Path:
        """The folder of a trial as the driver has it; what a process that died has left is gone, as
        it may be of another trial."""
        target = self._root / Path(folder).relative_to(self._run)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True, exist_ok=True)
        for name in ray.get(self._server.sizes.remote(folder)):
            self._bring(f"{folder}/{name}", _inside(target, name))
        return target

    def _tell_hangs(self) -> None:
        """Let the driver have what processes of this node were at as they were ended for hanging,
        so that the trial is known by it wherever it goes."""
        for path in self._root.rglob(HANG):
            if not path.stat().st_size:
                continue
            target = f"{self._run}/{path.relative_to(self._root).as_posix()}"
            ray.get(self._server.write.remote(target, [path.read_bytes()]))
            path.unlink()

    def _kept(self, source: str, target: Path) -> str:
        """A folder that is the same wherever it was built, by its name."""
        if read_meta(Path(source)) is not None:
            return source

        def bring(into: Path) -> dict[str, Any]:
            sizes = ray.get(self._server.sizes.remote(source))
            check_space(into, sum(sizes.values()))
            for name in sizes:
                self._bring(f"{source}/{name}", _inside(into, name))
            brought = read_meta(into)
            if brought is None:
                raise TrialFailed(f"{source} of the driver must be whole, but files are gone")
            return brought

        built_once(target, bring)
        return str(target)

    def _weights(self, source: str) -> str:
        """A file that has the content of the driver's."""
        digest = ray.get(self._server.digest.remote(source))
        here = Path(source)
        if here.is_file() and digest_of_file(source) == digest:
            return source

        def bring(into: Path) -> dict[str, Any]:
            (size,) = ray.get(self._server.sizes.remote(source)).values()
            check_space(into, size)
            self._bring(source, into / here.name)
            return {"sizes": {here.name: size}}

        folder = cache_root() / _WEIGHTS / digest
        built_once(folder, bring)
        return str(folder / here.name)

    def _bring(self, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary, temporary.open("wb") as stream:
            while piece := ray.get(self._server.read.remote(source, stream.tell())):
                stream.write(piece)
                if len(piece) < PIECE:
                    break


@cache
def files_of(shipping: Shipping) -> NodeFiles:
    """How this process comes to the files of a search; the same for all of its trials."""
    return NodeFiles(shipping)


def _sweep(own: Path) -> None:
    """Remove what searches that are long over have left."""
    for path in own.parent.glob("*"):
        with suppress(OSError):
            if path != own and path.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(path)


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            status = path.stat()
            found[path.relative_to(folder).as_posix()] = status.st_size, status.st_mtime_ns
    return found


def _inside(folder: Path, name: str) -> Path:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise PermissionError(f"{name} leads out of {folder}")
    return folder / name


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            yield piece
