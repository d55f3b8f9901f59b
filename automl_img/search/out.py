"""Where the runs of a search are: a folder here, or a URL that is worked on in a copy here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from automl_img.data.filesystems import FileSystems
from automl_img.data.urls import shown
from automl_img.errors import RunError
from automl_img.events import Listener
from automl_img.files import sweep
from automl_img.mirror.address import Address, run_at
from automl_img.mirror.background import Mirror, mirrored
from automl_img.mirror.copies import forget_unused
from automl_img.mirror.download import files_at
from automl_img.mirror.driver import check_writable, holding
from automl_img.mirror.manifest import Manifest, Memory
from automl_img.mirror.reading import newest_name, no_such_run
from automl_img.mirror.settle import remembered, settle
from automl_img.mirror.snapshot import changed_since
from automl_img.mirror.upload import Uploads
from automl_img.runs import (
    RAY,
    Run,
    check_free,
    create_run,
    find_run,
    refuse_links,
    remove_folders,
)
from automl_img.search.lock import only_driver


@dataclass(frozen=True)
class Driven:
    """A run that this process alone drives.

    Attributes:
        listener: is to be told of what happens to it.
        behind: whether its URL lacks what an earlier session has left here.
    """

    run: Run
    listener: Listener
    behind: bool = False


class Out(Protocol):
    """Where runs are.

    Attributes:
        folder: of this machine, in which they are searched.
    """

    @property
    def folder(self) -> Path: ...

    def check(self, name: str | None) -> None:
        """
        Raises:
            RunError: there is a run ``name``, or none can be written.
        """

    def begin(
        self, name: str, info: dict[str, Any], listener: Listener
    ) -> AbstractContextManager[Driven]:
        """Make a run, and drive it as long as the block lasts.

        Raises:
            RunError: there is such a run, or it cannot be made; at the end of the block, that not
                all of it could be uploaded.
        """

    def go_on(self, run: str | Path | None, listener: Listener) -> AbstractContextManager[Driven]:
        """Drive a run that there is; see ``begin``."""


def open_out(out: str | Path, run: str | Path | None = None) -> Out:
    """Where the runs of ``out`` are, or the one ``run`` that has a URL of its own.

    Raises:
        SettingsError: it is a URL that runs cannot be written to.
    """
    found = run_at(run, out)
    if found is not None:
        return _AtUrl(found[0])
    return _Here(Path(out))


@dataclass(frozen=True)
class _Here:
    folder: Path

    def check(self, name: str | None) -> None:
        if name is not None:
            check_free(self.folder, name)

    @contextmanager
    def begin(self, name: str, info: dict[str, Any], listener: Listener) -> Iterator[Driven]:
        run = create_run(self.folder, name, info)
        with only_driver(run):
            yield Driven(run, listener)

    @contextmanager
    def go_on(self, run: str | Path | None, listener: Listener) -> Iterator[Driven]:
        found = find_run(run, self.folder)
        refuse_links(found)
        with only_driver(found):
            _clear(found)
            yield Driven(found, listener)


@dataclass(frozen=True)
class _AtUrl:
    address: Address

    @property
    def folder(self) -> Path:
        return self.address.folder

    def check(self, name: str | None) -> None:
        check_writable(self.address.url)
        forget_unused()
        if name is not None:
            self._check_free(FileSystems(), name)

    @contextmanager
    def begin(self, name: str, info: dict[str, Any], listener: Listener) -> Iterator[Driven]:
        server, url = FileSystems(), self.address.of_run(name)
        self._check_free(server, name)
        with ExitStack() as held:
            hold = held.enter_context(holding(server, url))
            run = dataclasses.replace(create_run(self.folder, name, info), url=url)
            held.enter_context(only_driver(run))
            uploads = Uploads(server, hold, run.path, Memory(url, Manifest(hold.session)), ())
            mirror = Mirror(server, uploads, hold, run, listener)
            yield Driven(run, held.enter_context(mirrored(mirror)))

    @contextmanager
    def go_on(self, run: str | Path | None, listener: Listener) -> Iterator[Driven]:
        server = FileSystems()
        found = run_at(run, self.address.url)
        name = (found[1] if found else None) or newest_name(self.address)
        copy = Run(self.folder / name, self.address.of_run(name))
        with ExitStack() as held:
            lock = held.enter_context(ExitStack())
            if (copy.path / "run.json").is_file():
                refuse_links(copy)
                # First: what drove this copy before is gone then, and need not be waited for.
                lock.enter_context(only_driver(copy))
            elif not files_at(server, str(copy.url)):
                raise no_such_run(self.address, name)
            known = remembered(copy)
            ours = known.sent.session if known else None
            hold = held.enter_context(holding(server, str(copy.url), ours))
            memory = settle(server, copy, hold.session, listener)
            # The copy may be another by now, with a lock of its own.
            lock.close()
            lock.enter_context(only_driver(copy))
            # Before uploads begin, which write here too.
            _clear(copy)
            behind = changed_since(copy.path, memory.signatures)
            there = files_at(server, str(copy.url))
            uploads = Uploads(server, hold, copy.path, memory, there)
            mirror = Mirror(server, uploads, hold, copy, listener)
            yield Driven(copy, held.enter_context(mirrored(mirror)), behind)

    def _check_free(self, server: FileSystems, name: str) -> None:
        url = self.address.of_run(name)
        if (self.folder / name).exists() or files_at(server, url):
            raise RunError(
                f"a run named {name!r} exists already at {shown(self.address.url)}; go on with it "
                f"by automl-img resume {shown(url)}, or choose another --name"
            )


def _clear(run: Run) -> None:
    """Delete what a session that was killed has left half."""
    sweep(run.path)
    remove_folders([run.path / RAY])
