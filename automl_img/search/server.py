"""Studies on a PostgreSQL server, which several drivers may share, and which may be away."""

from __future__ import annotations

import functools
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from automl_img.errors import SearchError, SettingsError
from automl_img.events import Listener, Notice, ignore
from automl_img.search.storage import Cached, Direction, Studies

# Seconds that a server may be away in the midst of a search.
PATIENCE = 60.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# Attribute of a study: what its drivers share. Attribute of a trial: which question created it.
_FACTS, _QUESTION = "search", "question"
# As libpq has them: a connection that says nothing is given up within half a minute.
_CONNECTION = {
    "application_name": "automl-img",
    # A database without an encoding of its own would answer in bytes.
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    # Poolers between here and the server do not know prepared statements.
    "prepare_threshold": None,
}
# Whoever holds a lock and is frozen meanwhile loses it.
_LOCK = (
    "SELECT set_config('idle_in_transaction_session_timeout', '20s', true), "
    "pg_advisory_xact_lock(:key)"
)
Answer = TypeVar("Answer")


class _Away(Exception):
    """The server does not answer, or broke off; its message says why, in one line."""


class ServerStudies(Studies):
    """The studies of one search on a server, each named ``SEARCH/ARM``.

    While the server is away, what is asked of it is asked again for a minute.
    """

    def __init__(
        self, url: str, name: str, run: str, driver: str, joins: bool, listener: Listener = ignore
    ) -> None:
        """
        Args:
            name: of the search: that of the run that began it.
            run: the name of the run that goes on here.
            driver: told from all other runs by this.
            joins: whether another run began the search.

        Raises:
            SearchError: the server cannot be reached.
            SettingsError: it refuses.
        """
        self.name, self.run, self.driver = name, run, driver
        # Two drivers with one seed would have the same suggestions.
        self.salt = driver.encode() if joins else b""
        self._patience = _Patience(url, run, listener)
        storage = self._patience.ask(lambda: _open(url))
        patient: Any = _Patient(storage, self._patience)
        super().__init__(Cached(patient), storage)

    def open(self, name: str, directions: Sequence[Direction]) -> optuna.Study:
        return super().open(f"{self.name}/{name}", directions)

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the drivers of the search share; None where nobody has begun it."""
        return _facts(self._storage).get(self.name)

    def begin(
        self, arms: Sequence[str], directions: Sequence[Direction], facts: dict[str, Any]
    ) -> None:
        """Create the studies of a search that nobody has begun."""
        for arm in arms:
            self.open(arm, directions).set_user_attr(_FACTS, facts)

    @contextmanager
    def alone(self) -> Iterator[None]:
        lock = self._patience.ask(lambda: _locked(self._database.engine, self.name))
        try:
            yield
        finally:
            # A server that was away has let go of it.
            with suppress(_Away):
                lock.close()


def facts_on(url: str) -> dict[str, dict[str, Any]]:
    """What the drivers of each search on a server share, by the name of the search.

    Raises:
        SettingsError: the server cannot be reached or refuses, or what speaks to it is missing.
    """
    try:
        storage = _open(url)
        try:
            return _facts(storage)
        finally:
            storage.engine.dispose()
    except _Away as error:
        raise SettingsError(
            f"--storage must be a database that can be reached, but {url}: {error}; start the "
            "server, or mend the URL or the password"
        ) from None


def _facts(storage: optuna.storages.BaseStorage) -> dict[str, dict[str, Any]]:
    found = {}
    for study in storage.get_all_studies():
        if facts := study.user_attrs.get(_FACTS):
            found[study.study_name.rpartition("/")[0]] = dict(facts)
    return found


class _Patience:
    """Asks a server again while it is away."""

    def __init__(self, url: str, run: str, listener: Listener) -> None:
        self._url, self._run, self._listener = url, run, listener
        self._lost: SearchError | None = None

    def ask(
        self, operation: Callable[[], Answer], again: Callable[[], Answer] | None = None
    ) -> Answer:
        """
        Args:
            operation: one transaction.
            again: what to do instead where it is not known whether the transaction was done.

        Raises:
            SearchError: the server is away for too long, now or before, or it refuses.
        """
        until, pause = time.monotonic() + PATIENCE, 0.0
        while self._lost is None:
            if pause:
                time.sleep(pause)
            try:
                answer = operation()
            except _Away as error:
                operation = again or operation
                if not pause:
                    self._say(f"is away ({error}); it is asked again for {PATIENCE:g} s")
                left = until - time.monotonic()
                pause = max(0.01, min(2 * pause or _SHORTEST_PAUSE, _LONGEST_PAUSE, left))
                if left <= 0:
                    self._lost = self._error(f"was away for {PATIENCE:g} s ({error})")
            except StorageInternalError as error:
                self._lost = self._error(f"refuses ({_line(error.__cause__ or error)})")
            except KeyError:
                self._lost = self._error("has the study of this run no more")
            else:
                if pause:
                    self._say("is back")
                return answer
        raise self._lost

    def _say(self, what: str) -> None:
        self._listener(Notice(f"the server of the study {what}"))

    def _error(self, what: str) -> SearchError:
        return SearchError(
            f"the server {self._url} {what}; what was trained is kept: mend that, and then "
            f"automl-img resume {self._run} goes on"
        )


class _Patient:
    """A storage of Optuna whose operations, each of them one transaction, are asked patiently.

    Most of them may be done twice, as they set something. For the others: a server that goes away
    while it commits leaves it open whether it has.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, patience: _Patience) -> None:
        self._storage, self._patience = storage, patience

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._storage, name)

        def ask(*args: Any, **kwargs: Any) -> Any:
            return self._patience.ask(functools.partial(operation, *args, **kwargs))

        return ask

    def _create_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None = None
    ) -> FrozenTrial:
        template = template_trial or create_trial(state=OptunaState.RUNNING)
        question = uuid.uuid4().hex
        template.system_attrs = {**template.system_attrs, _QUESTION: question}

        def create() -> FrozenTrial:
            return self._storage._create_new_trial(study_id, template)

        def look() -> FrozenTrial:
            trials = self._storage.get_all_trials(study_id, deepcopy=False)
            known = (each for each in trials if each.system_attrs.get(_QUESTION) == question)
            return next(known, None) or create()

        return self._patience.ask(create, look)

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        tell = functools.partial(self._storage.set_trial_state_values, *args, **kwargs)

        def again() -> bool:
            with suppress(UpdateFinishedTrialError):
                return tell()
            return True

        return self._patience.ask(tell, again)


def _open(url: str) -> optuna.storages.RDBStorage:
    """The storage at ``url``, whose tables are made where there are none.

    Raises:
        SettingsError: it refuses, or what speaks to it is missing.
        _Away: it does not answer.
    """
    if find_spec("psycopg") is None:
        raise SettingsError(
            "--storage needs the package psycopg, but it is not installed; run "
            "pip install 'automl-img[postgres]'"
        )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    full = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(full, connect_args=_CONNECTION)
    sqlalchemy.event.listen(engine, "handle_error", _tell_away)
    try:
        lock = _locked(engine, "tables")
        try:
            # Two that come first at once would both make the tables.
            storage = optuna.storages.RDBStorage(full, {"connect_args": _CONNECTION})
        finally:
            with suppress(_Away):
                lock.close()
    except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        why = _line(error.__cause__ or error)
        raise SettingsError(f"--storage must be a database to write to, but {url}: {why}") from None
    finally:
        engine.dispose()
    sqlalchemy.event.listen(storage.engine, "handle_error", _tell_away)
    return storage


def _tell_away(context: Any) -> None:
    """Of SQLAlchemy's errors, those after which the same may be asked again: the connection broke,
    or could not be made, or the server had not what it takes just then."""
    kinds = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    if context.is_disconnect or isinstance(context.sqlalchemy_exception, kinds):
        raise _Away(_line(context.original_exception))


def _locked(engine: sqlalchemy.Engine, name: str) -> sqlalchemy.Connection:
    """A connection that holds the lock ``name`` of the server until it is closed."""
    digest = hashlib.blake2b(f"automl-img {name}".encode(), digest_size=8).digest()
    connection = engine.connect()
    try:
        key = int.from_bytes(digest, "big", signed=True)
        connection.execute(sqlalchemy.text(_LOCK), {"key": key})
    except BaseException:
        with suppress(_Away):
            connection.close()
        raise
    return connection


def _line(error: BaseException) -> str:
    """What ``error`` says first."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(":;,.")
