"""What a user may ask of a search; checked here, before anything is started."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from automl_img.amounts import parse_bytes, parse_seconds
from automl_img.budget import Budget
from automl_img.errors import SettingsError, did_you_mean
from automl_img.objectives import OBJECTIVES, Limits, Objective, parse_objectives
from automl_img.servers import Secret, check_server

DEFAULTS_FILE = "automl-img.toml"
_FIXED_BY = {"none": {}, "balanced": {"imbalance.class_weights": "1"}}


class SearchSettings(BaseModel):
    """The settings of one search.

    Attributes:
        data: a folder, a table, an archive, a URL of one of these, or the name of a data set.
        budget: what the search may spend: trials ("50"), wall time for everything up to the report
            ("2h", "1h30m", "90s") or epochs of all trials together ("500epochs").
        space: the name of a preset in ``search_spaces/``, or a YAML file.
        search: ranges by hyperparameter, as typed: ``{"cnn.filters": "16..64"}``.
        fix: values by hyperparameter, as typed: ``{"batch_size": "64"}``.
        sampler: who suggests.
        max_epochs: the most that one trial trains, at least 1.
        image_size: side in pixels, 8 to 1024; None chooses it from the data.
        seed: of splits, suggestions and weights; 0 is a seed.
        workers: trials at a time; None chooses from the machine.
        gpus_per_trial: GPUs of one trial, fractions allowed; None takes one where there is one.
        address: of a Ray cluster to train on, "auto" for the one that this machine is a node of, or
            "HOST:PORT"; "local" starts a Ray of its own here.
        storage: where the study is, as "postgresql://user@host/database"; None: in the run folder.
        join: a study there that another run began, to work on; None begins one.
        warm_start: earlier runs whose best settings are tried first: folders, URLs, names of runs
            in ``out``, or "auto" for all runs there that finished.
        name: of the run folder; None makes one from the data and the time.
        out: the folder of all run folders, or its URL: s3:// or gs://.
        limit_per_class: at most so many images a class and split, a seeded part.
        keep_copies: leave copies of images where they are, and count them all; nobody looks for
            copies then.
        class_weights: "balanced" is short for fixing ``imbalance.class_weights`` at 1.
        objective: what is compared: val_accuracy, val_balanced_accuracy, val_macro_f1, val_auc or
            val_loss, alone or followed by some of latency, size and params, as in
            "val_accuracy,latency": then the search looks for all trade-offs between them. None
            takes val_balanced_accuracy where the audit finds imbalance, else val_accuracy.
        max_latency, max_size, max_params: the most that the exported model may need, as "20ms",
            "10MB" and "1M"; None is no limit. What is beyond is not trained.
        ensemble: average at most so many models of the search into a second exported one, 2 to 20;
            None makes none.
        trial_timeout: a trial that does nothing for so long is ended and counts as failed, as "30m"
            or "90s"; "0" waits for ever. Each batch is something.
        stop_when_stale: end the search when a third of the budget brought nothing better.
        path_column, label_column, split_column: columns of a table; None finds them by name.
        label_columns: columns of a table, each named by a class, that say whether an image has it:
            names or patterns, comma-separated, as "has_*"; an image may have several classes then.
        label_separator: between the classes of an image in the column of labels, as "|"; an image
            may have several then.
        coarse_column: a column of a table, of the coarser class that each class belongs to; the
            test is scored at both levels.
        group_column: a column of a table; images with the same value stay in one part.
        weights_dir: a folder with ImageNet weight files, searched before the Keras cache.
        max_disk: the disk that checkpoints and weights of all trials may take together, as "10GB";
            the weakest trials lose theirs first, and those that run keep them.
        feature_cache: the disk that kept outputs of frozen backbones may take, as "20GB", "500MB"
            or "0" for none; decimal units. What several workers are writing is not counted yet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = "digits"
    budget: str = "50"
    space: str = "cnn"
    search: dict[str, str] = Field(default_factory=dict)
    fix: dict[str, str] = Field(default_factory=dict)
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    max_epochs: int = Field(default=30, ge=1)
    image_size: int | None = Field(default=None, ge=8, le=1024)
    seed: int = Field(default=0, ge=0, lt=2**32)
    workers: int | None = Field(default=None, ge=1)
    gpus_per_trial: float | None = Field(default=None, ge=0)
    address: str = Field(default="local", min_length=1)
    storage: str | None = None
    join: str | None = Field(default=None, min_length=1)
    warm_start: tuple[str, ...] = ()
    name: str | None = Field(default=None, min_length=1, max_length=100)
    out: str = "runs"
    limit_per_class: int | None = Field(default=None, ge=1)
    keep_copies: bool = False
    class_weights: Literal["balanced", "none"] = "none"
    objective: str | None = None
    max_latency: str | None = None
    max_size: str | None = None
    max_params: str | None = None
    ensemble: int | None = Field(default=None, ge=2, le=20)
    trial_timeout: str = "30m"
    stop_when_stale: bool = False
    path_column: str | None = None
    label_column: str | None = None
    label_columns: str | None = Field(default=None, min_length=1)
    label_separator: str | None = Field(default=None, min_length=1)
    split_column: str | None = None
    coarse_column: str | None = None
    group_column: str | None = None
    weights_dir: str | None = None
    max_disk: str = "10GB"
    feature_cache: str = "20GB"

    @property
    def keeps_weights(self) -> bool:
        """Whether the best weights of trials stay: for an ensemble, or since the end of the time
        may leave no retraining."""
        return self.ensemble is not None or self.allowed.unit == "seconds"

    @property
    def allowed(self) -> Budget:
        """``budget``, read."""
        return Budget.parse(self.budget)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """``objective``, read; the accuracy until the data decide."""
        return parse_objectives(self.objective or OBJECTIVES[0].name)

    @property
    def fixed(self) -> dict[str, str]:
        """``fix``, and what ``class_weights`` stands for."""
        return {**_FIXED_BY[self.class_weights], **self.fix}

    @property
    def limits(self) -> Limits:
        """``max_latency``, ``max_size`` and ``max_params``, read."""
        return Limits.parse(self.max_latency, self.max_size, self.max_params)

    @property
    def feature_bytes(self) -> int:
        """``feature_cache`` in bytes."""
        return parse_bytes(self.feature_cache)

    @property
    def disk_bytes(self) -> int:
        """``max_disk`` in bytes."""
        return parse_bytes(self.max_disk)

    @property
    def timeout(self) -> float:
        """``trial_timeout`` in seconds; 0 for none."""
        return parse_seconds(self.trial_timeout)

    @field_validator("search", "fix", mode="before")
    @classmethod
    def _as_typed(cls, values: Any) -> Any:
        """Numbers, lists and TOML's nested tables as the command line would have them."""
        return _flat(values) if isinstance(values, dict) else values

    @field_validator("budget", mode="before")
    @classmethod
    def _is_a_budget(cls, value: Any) -> Any:
        if isinstance(value, str | int) and not isinstance(value, bool):
            Budget.parse(str(value))
            return str(value)
        return value

    @field_validator("objective", "storage")
    @classmethod
    def _can_be_read(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is not None:
            read = {"objective": parse_objectives, "storage": check_server}
            read[str(info.field_name)](text)
        return text

    @field_validator("max_latency", "max_size", "max_params", mode="before")
    @classmethod
    def _is_a_limit(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | int) and not isinstance(value, bool):
            Limits.parse(**{str(info.field_name).removeprefix("max_"): str(value)})
            return str(value)
        return value

    @field_validator("feature_cache", "max_disk", "trial_timeout", mode="before")
    @classmethod
    def _is_an_amount(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str | int) and not isinstance(value, bool):
            parse = parse_seconds if info.field_name == "trial_timeout" else parse_bytes
            parse(str(value))
            return str(value)
        return value

    @field_validator("join")
    @classmethod
    def _is_on_a_server(cls, study: str | None, info: ValidationInfo) -> str | None:
        if study is not None and info.data.get("storage") is None:
            raise ValueError("needs --storage, which says where that study is")
        return study

    @field_validator("label_columns", "label_separator")
    @classmethod
    def _alone(cls, value: str | None, info: ValidationInfo) -> str | None:
        others = {"label_columns": ("label_column",), "label_separator": ("label_columns",)}
        for other in others[str(info.field_name)]:
            if value is not None and info.data.get(other) is not None:
                raise ValueError(f"cannot stand beside --{other.replace('_', '-')}")
        return value

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str | None) -> str | None:
        if name is not None and (name.startswith(".") or set(name) & set('/\\:*?"<>|\0\n')):
            raise ValueError("a run's name must be a plain file name")
        return name


def check(values: dict[str, Any], data: str | Path | None = None) -> SearchSettings:
    """``values`` as settings.

    Args:
        data: comes before what ``values`` have; None leaves that.

    Raises:
        SettingsError: a name is unknown or a value out of bounds.
    """
    if data is not None:
        values = {**values, "data": str(data)}
    try:
        return SearchSettings(**values)
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def folder_defaults(folder: Path) -> dict[str, Any]:
    """The settings in ``automl-img.toml`` of ``folder``; empty where there is no such file.

    Raises:
        SettingsError: the file is not TOML.
    """
    path = folder / DEFAULTS_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"{path} must be valid TOML, but {error}; mend it or remove it"
        ) from None


def merged(defaults: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """``asked`` over ``defaults``; what is asked to search or fix is added, key by key."""
    result = {**defaults, **asked}
    for key in ("search", "fix"):
        if isinstance(defaults.get(key), dict) and key in asked:
            result[key] = {**_flat(defaults[key]), **asked[key]}
    return result


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"cnn": {"depth": 3}}`` as ``{"cnn.depth": "3"}``; what is no value stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[f"{prefix}{key}"] = ",".join(str(_word(item)) for item in value)
        else:
            flat[f"{prefix}{key}"] = _word(value)
    return flat


def _word(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name!r}{did_you_mean(name, SearchSettings.model_fields)}"
    setting, *inner = [str(part) for part in first["loc"]]
    name = ".".join([setting.replace("_", "-"), *inner])
    rule = first["msg"].removeprefix("Value error, ")
    secret = isinstance(first.get("ctx", {}).get("error"), Secret)
    got = "" if secret else f", but got {first['input']!r}"
    return f"{name}: {rule[0].lower()}{rule[1:]}{got}"
