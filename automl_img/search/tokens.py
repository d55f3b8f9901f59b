"""The token without which Ray does nothing for anybody; see
https://docs.ray.io/en/latest/ray-security/token-auth.html.

Ray's processes listen to the network, those of a Ray of our own too, and whoever is let in may run
any program.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

TOKEN, TOKEN_PATH, MODE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"
# In the home of the user.
FILE = ".ray/auth_token"


def show_token() -> None:
    """Let this process show a cluster the token that it has.

    A cluster that asks for none does not mind, and Ray does not look for it unless it is told to.
    """
    if MODE in os.environ or not (os.environ.get(TOKEN) or _path().is_file()):
        return
    from ray._raylet import Config  # type: ignore[attr-defined]

    os.environ[MODE] = "token"
    # As Ray does it for a cluster of its own: it has read the environment as it was imported.
    Config.initialize("")


def make_token() -> None:
    """Make the token that a Ray of our own will ask for, where there is none, and let nobody else
    read it. Ray itself would make a file that all users of the machine can read.

    Whoever wants no token, by ``RAY_AUTH_MODE``, is left alone.
    """
    if os.environ.get(MODE, "token") != "token" or os.environ.get(TOKEN):
        return
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        # Not ours to change where it is another's.
        with suppress(OSError):
            path.chmod(0o600)
    except OSError:
        # No home to write to: one for this process and those that it starts.
        os.environ[TOKEN] = secrets.token_hex(32)
    else:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))


def _path() -> Path:
    return Path(os.environ.get(TOKEN_PATH) or Path.home() / FILE)
