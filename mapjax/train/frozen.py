"""Parts of a network that keep their weights while the others learn."""

from collections.abc import Sequence

import jax

from mapjax.train.errors import TrainingError, did_you_mean
from mapjax.train.step import Params


def trained(params: Params, frozen: Sequence[str]) -> Params:
    """Which parameters learn: all but those of the parts that are named.

    >>> trained({"glance": {"bias": 0.0}, "stem": {"bias": 0.0}}, ["glance"])
    {'glance': {'bias': False}, 'stem': {'bias': True}}
    """
    learn = {name: name not in frozen for name in params}
    return jax.tree.map(lambda learns, part: jax.tree.map(lambda _: learns, part), learn, params)


def freeze(params: Params, frozen: Sequence[str]) -> Params:
    """The parameters, those of the parts that are named without a gradient.

    The backward pass ends where they begin, so a step costs less.
    """
    return {
        name: jax.lax.stop_gradient(part) if name in frozen else part
        for name, part in params.items()
    }


def check_frozen(params: Params, frozen: Sequence[str]) -> None:
    """See that the network has these parts, and others to train.

    Raises:
        TrainingError: it has no part of a name, or nothing but these.
    """
    for name in frozen:
        if name not in params:
            hint = did_you_mean(name, params)
            raise TrainingError(f"frozen: {name} is none of {', '.join(params)}{hint}")
    if not params.keys() - set(frozen):
        raise TrainingError("frozen: names all parts of the network, so nothing is left to train")
