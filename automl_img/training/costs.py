"""What a configuration costs, as values; neither Keras nor a backend is imported for them."""

from __future__ import annotations

from dataclasses import dataclass

from automl_img.models.backbones import family_of
from automl_img.objectives import described
from automl_img.trials import Params


@dataclass(frozen=True)
class Work:
    """What one phase of a trial asks of a machine, told from its layers; no graph is traced.

    Attributes:
        params: of the phase; those of the trial, but for its first epochs where the head trains
            alone.
        epochs: that the phase lasts at the most.
        graph: names the compiled model that it needs; phases that share one have the same.
        trained: multiplications of an image through what trains, forward.
        frozen: through what is frozen.
        kept: whether the outputs of the frozen part are computed once and kept.
        features: names those outputs; empty where none are kept.
        views: of the training images that are kept, 1 without augmentation.
        image_bytes: of the kept outputs for one image.
        feature_bytes: disk that all of them take; told also where that is too much.
        parameters: of the whole classifier.
    """

    params: Params
    epochs: int
    graph: str
    trained: float
    frozen: float
    kept: bool
    features: str
    views: int
    image_bytes: int
    feature_bytes: int
    parameters: int

    @property
    def step(self) -> float:
        """Multiplications of an image in a training step: the gradients take two more passes."""
        return 3 * self.trained + (0 if self.kept else self.frozen)

    @property
    def validation(self) -> float:
        """Multiplications of an image in validation."""
        return self.trained + (0 if self.kept else self.frozen)


@dataclass(frozen=True)
class StepCost:
    """What a configuration costs on this machine, measured.

    Attributes:
        first_seconds: for building its graph, tracing and the first step and validation batch,
            beyond what a later one of each takes: once a graph and process.
        start_seconds: for giving the weights of a graph their first values, once a trial.
        step_seconds: a steady training step.
        batch_size: images in it.
        fixed_seconds: of ``step_seconds``, what a step takes however few images it has.
        validation_seconds: a validation batch.
        validation_batch: images in it.
        forward_seconds: an image through the frozen part, where its outputs are kept; else 0.
        forward_first_seconds: building and tracing that, once a trial that computes some.
        parameters: of the whole classifier.
        peak_bytes: the most memory that the process has held meanwhile, mapped files left out,
            with what it held before; where the system counts no peak, since it began.
    """

    first_seconds: float
    start_seconds: float
    step_seconds: float
    batch_size: int
    fixed_seconds: float
    validation_seconds: float
    validation_batch: int
    forward_seconds: float
    forward_first_seconds: float
    parameters: int
    peak_bytes: int

    @property
    def image_seconds(self) -> float:
        """What each image adds to a training step."""
        return (self.step_seconds - self.fixed_seconds) / self.batch_size


@dataclass(frozen=True)
class Footprint:
    """What training takes beside what the process holds anyway.

    Attributes:
        fixed_bytes: of weights, their gradients and the optimizer.
        image_bytes: of what is kept of one image of a batch, from its way forward to its way back.
    """

    fixed_bytes: int
    image_bytes: int

    def of(self, batch_size: int) -> int:
        """Bytes of a training step."""
        return self.fixed_bytes + batch_size * self.image_bytes


def estimate(params: Params, image_size: int, channels: int, precision: str) -> Footprint:
    """The footprint of a network that nobody has built yet, rather less than it is (of Inception on
    small images a quarter more).

    Args:
        params: of a trial.
        image_size: side in pixels.
        channels: 1 or 3.
        precision: the policy of Keras that it trains with.
    """
    name = str(params["backbone"])
    size = family_of(name).size(name, image_size, channels, params)
    slots = 1 if params["optimizer.name"] == "sgd" else 2
    value = 2 if precision == "mixed_bfloat16" else 4
    return Footprint(4 * (size.parameters + (1 + slots) * size.learnt), value * size.values)


def too_large(needs: float, allowance: float) -> str:
    """The sentence for a trial that is not trained, as it needs more memory than it may have.

    Args:
        needs, allowance: in bytes.
    """
    return (
        f"training it needs about {described('size_bytes', needs)} of memory, more than there is "
        f"for a trial ({described('size_bytes', allowance)}); a smaller batch_size or model fits"
    )
