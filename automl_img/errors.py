"""Every error that a user may meet, and what happens next.

AutomlImgError              one sentence: the rule, the value, what to do; exit code 1
|- SettingsError            what was asked for cannot be done; nothing was started
|  `- SpaceError            a hyperparameter, range or preset is not valid
|- DataError                the images, labels or splits cannot be used
|  `- Unreachable           a server does not answer; nothing is known to be wrong with its files
|- WeightsError             pretrained weights cannot be had
|- RunError                 a run folder is missing, taken or unreadable
|- SearchError              the search ended without one usable trial, or cannot go on for now
|- ExportError              the exported model does not predict what the trained one did
|- JobError                 a head of a cluster refuses, or a job there did not end well
|  `- HeadUnreachable       it does not answer; its jobs go on
`- TrialFailed              one trial ends, the search goes on
   |- Diverged              first loss that is not a finite number
   |- OutOfTime             the budget is over; what the trial has reached counts
   |- Hung                  nothing happened for longer than --trial-timeout
   |- DiskFull              a file could not be written; the search cannot go on either
   |- UnfitNode             a node of a cluster cannot run trials; another one has them
   |- OutOfMemory           the model at its batch size does not fit
   `- TooLarge              it would not fit, so it is not trained
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutomlImgError(Exception):
    """Base of all errors whose message is written for the user."""


class SettingsError(AutomlImgError):
    """What was asked for cannot be done; nothing was started."""


class SpaceError(SettingsError):
    """A hyperparameter, a range or a preset is not valid."""


class DataError(AutomlImgError):
    """The images, labels or splits cannot be used."""


class Unreachable(DataError):
    """A server does not answer; nothing is known to be wrong with its files."""


class WeightsError(AutomlImgError):
    """Pretrained weights cannot be had."""


class RunError(AutomlImgError):
    """A run folder is missing, already taken, or cannot be read."""


class SearchError(AutomlImgError):
    """The search ended without one usable trial, or cannot go on for now."""


class ExportError(AutomlImgError):
    """The exported model does not predict what the trained model predicted."""


class JobError(AutomlImgError):
    """A head of a Ray cluster refuses what it was asked, or a job there did not end well."""


class HeadUnreachable(JobError):
    """A head of a Ray cluster does not answer; its jobs go on."""


class TrialFailed(AutomlImgError):
    """One trial ends with this reason; the search goes on."""

    reason = "error"


class Diverged(TrialFailed):
    """The loss of a trial is not a finite number any more."""

    reason = "diverged"


class OutOfTime(TrialFailed):
    """The deadline of a trial has passed; no failure of its own."""

    reason = "budget"


class Hung(TrialFailed):
    """A trial did nothing for too long.

    Attributes:
        doing: what its threads were at.
    """

    reason = "hang"

    def __init__(self, message: str, doing: str = "") -> None:
        super().__init__(message)
        self.doing = doing


class DiskFull(TrialFailed):
    """What a trial has to keep cannot be written, as the disk is full."""

    reason = "disk full"


class UnfitNode(TrialFailed):
    """A node of a cluster cannot run trials, whichever they are; the trial goes on elsewhere."""

    reason = "unfit node"


class OutOfMemory(TrialFailed):
    """A trial needs more memory than there is."""

    reason = "out of memory"


class TooLarge(TrialFailed):
    """A trial would need more memory than there is.

    Attributes:
        memory: what was estimated; see ``automl_img.trials.TrialRecord``.
    """

    reason = "infeasible"

    def __init__(self, message: str, memory: dict[str, float]) -> None:
        super().__init__(message)
        self.memory = memory


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what an error says, at most so many characters of it, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A hint for a name that was not found: ``"; did you mean 'cnn.depth'?"`` or ``""``."""
    close = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
