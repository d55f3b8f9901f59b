"""Where a backbone can be cut into a frozen prefix and a trained suffix."""

from __future__ import annotations

from typing import Any


def valid_cuts(backbone: Any) -> dict[int, str]:
    """Every place where ``backbone`` can be cut: layers up to and with it -> name of its operation.

    An operation is a valid cut if every later one depends on what came before only through its
    one output. Walks ``operations``, not ``layers``: ConvNeXt adds with a bare operator.
    """
    operations = backbone.operations
    position = {id(operation): place for place, operation in enumerate(operations)}
    last_use = list(range(len(operations)))
    for place, operation in enumerate(operations):
        for source in _sources(operation):
            if id(source) in position:
                last_use[position[id(source)]] = place
    cuts, furthest = {}, 0
    for place, operation in enumerate(operations):
        if furthest <= place:
            cuts[place + 1] = operation.name
        furthest = max(furthest, last_use[place])
    return cuts


def split(backbone: Any, frozen_layers: int) -> tuple[Any, Any]:
    """(prefix, suffix) of ``backbone``, sharing its layers; the one or the other may be None.

    The prefix gives the same output while the rest trains as when it predicts: its batch
    normalisation, not trainable, uses the averages that it came with, and what it drops at random
    is kept. Calling it with ``training=False`` would not do: ``fit`` of a model around it overrides
    that (Keras 3.15, ``operation_fn``).

    Args:
        frozen_layers: 0 for no prefix, or a key of ``valid_cuts``.
    """
    import keras

    if frozen_layers == 0:
        return None, keras.Model(backbone.input, backbone.output, name="suffix")
    cut = backbone.operations[frozen_layers - 1].output
    prefix = keras.Model(backbone.input, cut, name="prefix")
    prefix.trainable = False
    for layer in prefix.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    if frozen_layers == len(backbone.operations):
        return prefix, None
    return prefix, keras.Model(cut, backbone.output, name="suffix")


def _sources(operation: Any) -> list[Any]:
    return [
        tensor._keras_history.operation
        for node in operation._inbound_nodes
        for tensor in node.input_tensors
    ]
