"""The head of a Ray cluster, asked through Ray's own client of jobs."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl_img.errors import HeadUnreachable, JobError, SettingsError
from automl_img.events import Listener, Notice
from automl_img.jobs.address import VARIABLES, Address, find_address
from automl_img.jobs.job import Job, job_of

# Seconds, of one request: to reach the head, and to wait for the next bytes of its answer.
_TIMEOUTS = (10.0, 60.0)
# The head ends a download after so many seconds.
_DOWNLOAD_SECONDS = 6 * 3600
_PIECE = 1 << 16
_BROKEN = re.compile(r"WebSocket|status code 50[234]")
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
# What the extra brings; Ray's client can be imported without, and is of no use then.
_NEEDED = ("aiohttp", "requests")


class Head:
    """Asks a head; each method raises ``JobError``: ``HeadUnreachable`` where nobody answers."""

    def __init__(self, client: Any, address: Address) -> None:
        self._client = client
        self.address = address

    @property
    def ray_version(self) -> str:
        """The version of Ray there."""
        return str(self._client.ray_version)

    def submit(
        self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], kept: Mapping[str, str]
    ) -> None:
        """Send what ``runtime_env`` names, and start ``entrypoint``, a command of the shell.

        Args:
            kept: by the head with the job.
        """
        with self._asking():
            self._client.submit_job(
                submission_id=job_id,
                entrypoint=entrypoint,
                runtime_env=runtime_env,
                metadata=dict(kept),
            )

    def job(self, job_id: str) -> Job:
        """The job ``job_id``."""
        if not _ID.fullmatch(job_id):
            raise JobError(_unknown(job_id, self.address))
        with self._asking(job_id):
            found = job_of(self._client.get_job_info(job_id))
        if found is None:
            raise JobError(
                f"{job_id} at {self.address.url} is no job of automl-img; see: ray job list"
            )
        return found

    def status(self, job_id: str) -> tuple[str, str]:
        """Status and message of any job."""
        with self._asking(job_id):
            found = self._client.get_job_info(job_id)
        return str(getattr(found.status, "value", found.status)), found.message or ""

    def jobs(self) -> list[Job]:
        """The searches that the head knows, the newest first."""
        with self._asking():
            found = [job_of(each) for each in self._client.list_jobs()]
        jobs = [job for job in found if job is not None]
        return sorted(jobs, key=lambda job: job.started or float("inf"), reverse=True)

    def stop(self, job_id: str) -> None:
        """Ask that a job ends; that it has ended already is no error."""
        with self._asking(job_id):
            self._client.stop_job(job_id)

    def log(self, job_id: str) -> str:
        """All that a job has printed so far."""
        with self._asking(job_id):
            return str(self._client.get_job_logs(job_id))

    def tail(self, job_id: str, hear: Callable[[str], None]) -> None:
        """Call ``hear`` with pieces of the job's log, from its beginning, until the job is over."""

        async def follow() -> None:
            async for text in self._client.tail_job_logs(job_id):
                hear(text)

        with self._asking(job_id):
            asyncio.run(follow())

    @contextmanager
    def raw_log(self, job_id: str, lines: int) -> Iterator[Iterator[bytes]]:
        """The bytes of a job's log.

        Args:
            lines: only so many of its last lines; -1 for all.
        """
        with self._asking(job_id):
            node = self._client.get_job_info(job_id).driver_node_id
            query = {"node_id": node, "submission_id": job_id, "lines": lines}
            query["timeout"] = _DOWNLOAD_SECONDS
            answer = self._client.get("/api/v0/logs/file", params=query, stream=True)
        with answer:
            if answer.status_code != 200:
                raise JobError(
                    f"the head at {self.address.url} must give the log of {job_id}, but answers "
                    f"with status {answer.status_code}; try again"
                )
            yield self._pieces(answer)

    def _pieces(self, answer: Any) -> Iterator[bytes]:
        with self._asking():
            yield from answer.iter_content(_PIECE)

    @contextmanager
    def _asking(self, job_id: str = "") -> Iterator[None]:
        from ray.exceptions import AuthenticationError

        try:
            yield
        except JobError:
            raise
        except AuthenticationError as error:
            raise JobError(_refused(error, self.address)) from None
        except Exception as error:
            if _is_of_the_network(error):
                raise HeadUnreachable(_unreachable(self.address)) from None
            if not isinstance(error, RuntimeError):
                raise
            said = (str(error).strip().splitlines() or [""])[0]
            if "status code 404" in said:
                raise JobError(_unknown(job_id, self.address)) from None
            raise JobError(f"the head at {self.address.url} refuses: {said[:300]}") from None


def connect(typed: str | None, listener: Listener) -> Head:
    """The head at an address; see ``find_address``.

    Raises:
        SettingsError: it is no address, or what speaks to heads is not installed.
        HeadUnreachable: nobody answers there.
        JobError: it wants another token, or is no head.
    """
    address = find_address(typed)
    client_of = _client_class()
    from ray._private.authentication.authentication_utils import is_token_auth_enabled
    from ray.exceptions import AuthenticationError

    try:
        with _without_addresses():
            client = client_of(address.url)
        is_open = not address.is_here and not client.asks_for_token()
    except AuthenticationError as error:
        raise JobError(_refused(error, address)) from None
    except (RuntimeError, LookupError, TypeError, ValueError):
        raise JobError(
            f"at {address.url} there must be the dashboard of a Ray head, but something else "
            "answers; look at the port (8265 unless it was started with another)"
        ) from None
    except OSError:
        raise HeadUnreachable(_unreachable(address)) from None
    with_token = is_token_auth_enabled()
    if is_open:
        listener(
            Notice(
                f"the head at {address.url} asks for no token, so whoever reaches it can run any "
                "code there (CVE-2023-48022): docs/jobs.md says how to close it off"
            )
        )
    elif address.is_clear and with_token:
        listener(
            Notice(
                f"the token goes to {address.url} in clear text: use an SSH tunnel (ssh -L "
                f"8265:127.0.0.1:8265 {address.host}) or https"
            )
        )
    return Head(client, address)


def _client_class() -> Any:
    """Ray's client, with a bound on the time that each request may take.

    Raises:
        SettingsError: it is not installed.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise SettingsError(
            "what sends jobs to a cluster is not installed; install it with: pip install "
            "'automl-img[cluster]'"
        )
    from ray.job_submission import JobSubmissionClient

    # What is to be known of it we say ourselves; the level is that of Ray until it is imported.
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    for name in ("job.sdk", "dashboard_sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.CRITICAL)

    class Client(JobSubmissionClient):  # type: ignore[misc]
        def _do_request(self, *words: Any, **options: Any) -> Any:
            # Without it a head that does not answer would be waited for without end.
            return super()._do_request(*words, **{"timeout": _TIMEOUTS, **options})

        def get(self, path: str, **options: Any) -> Any:
            return self._do_request("GET", path, **options)

        @property
        def ray_version(self) -> str:
            return str(self._server_ray_version)

        def asks_for_token(self) -> bool:
            answer = self.get("/api/authentication_mode")
            # Heads that are too old to know tokens do not know this either.
            known = bool(answer.status_code == 200)
            return known and answer.json().get("authentication_mode") == "token"

    return Client


@contextmanager
def _without_addresses() -> Iterator[None]:
    """Within the block the environment names no head: Ray takes that for more than what is given.
    ``find_address`` has read it already."""
    hidden = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _is_of_the_network(error: BaseException) -> bool:
    # requests raises an OSError; aiohttp one of its own, of a room that is not this one; Ray where
    # a log breaks off, or a proxy answers, a RuntimeError.
    closed = isinstance(error, RuntimeError) and _BROKEN.search(str(error)) is not None
    foreign = type(error).__module__.partition(".")[0] == "aiohttp"
    return closed or foreign or isinstance(error, (OSError, asyncio.TimeoutError))


def _unreachable(address: Address) -> str:
    also = " and that the SSH tunnel is open" if address.is_here else ""
    if address.url.startswith("https:"):
        also += ", and that its certificate is trusted here (REQUESTS_CA_BUNDLE, SSL_CERT_FILE)"
    return f"no Ray head answers at {address.url}; see that it runs there (ray start --head){also}"


def _unknown(job_id: str, address: Address) -> str:
    return f"there is no job {job_id!r} at {address.url}; see: automl-img jobs list{address.option}"


def _refused(error: Exception, address: Address) -> str:
    said = str(error)
    if "Authentication failed" in said:
        return (
            f"the head at {address.url} has another token than RAY_AUTH_TOKEN, the file that "
            "RAY_AUTH_TOKEN_PATH names, or ~/.ray/auth_token; copy that of the head (there: ray "
            "get-auth-token)"
        )
    if "Authentication required" in said and os.environ.get("RAY_AUTH_MODE") != "token":
        return (
            f"the head at {address.url} asks for a token; set RAY_AUTH_MODE=token, and put the "
            "token into ~/.ray/auth_token or the file that RAY_AUTH_TOKEN_PATH names"
        )
    return (
        f"RAY_AUTH_MODE=token needs a token for the head at {address.url}, but there is none; put "
        f"it into {_token_file()}"
    )


def _token_file() -> str:
    return os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path("~/.ray/auth_token"))
