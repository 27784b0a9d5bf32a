"""Parts of a network that keep their weights while the others learn."""

import difflib
from collections.abc import Sequence

import jax

from mapjax.train.errors import TrainingError
from mapjax.train.step import Params


def trained(frozen: Sequence[str], params: Params) -> Params:
    """Which parameters learn: all but those of the parts that are named.

    >>> trained(["glance"], {"glance": {"bias": 0.0}, "stem": {"bias": 0.0}})
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
            near = difflib.get_close_matches(name, params, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TrainingError(f"frozen: {name} is none of {', '.join(params)}{hint}")
    if not params.keys() - set(frozen):
        raise TrainingError("frozen: names all parts of the network, so nothing is left to train")
