"""The networks that can be named: what they are for, what they cost, what was measured."""

import dataclasses
from collections.abc import Iterator

from mapjax.models import DarkChannel, Maxim, load
from mapjax.models.cost import Cost, cost_of
from mapjax.models.files import abstract, cached_weights
from mapjax.models.zoo import PUBLISHED
from mapjax.restore.defaults import DARK_CHANNEL, DEFAULT_MODEL
from mapjax.restore.networks import load_models


@dataclasses.dataclass(frozen=True)
class Entry:
    """A network: its name, what it takes out, its cost for a picture of 256x256, its licence, the
    quality that was measured with it, the seconds that a picture of 620x460 took on one CPU core,
    and whether its weights are on this machine."""

    name: str
    takes_out: str
    cost: Cost
    licence: str
    measured: str
    seconds: float
    here: bool = True


def catalogue() -> Iterator[Entry]:
    """All networks that have a name, those first that need no download.

    >>> next(catalogue()).name
    'rainhaze-s'
    """
    yield Entry(
        DEFAULT_MODEL,
        takes_out="rain, haze, both",
        cost=cost_of(load(DEFAULT_MODEL)),
        licence="Apache-2.0; trained on pictures for research",
        measured="Rain100L 33.05 dB (Y), SOTS indoor 27.26 dB",
        seconds=0.4,
    )
    yield Entry(
        DARK_CHANNEL,
        takes_out="haze",
        cost=cost_of(DarkChannel()),
        licence="no weights",
        measured="",
        seconds=0.07,
    )
    costs: dict[object, Cost] = {}  # tracing a large network takes seconds
    for name, published in PUBLISHED.items():
        config = published.config
        if config not in costs:
            costs[config] = cost_of(abstract(Maxim, config))
        yield Entry(
            name,
            takes_out=published.takes_out,
            cost=costs[config],
            licence=published.licence,
            measured=published.measured,
            seconds=published.seconds,
            here=cached_weights(name).is_file(),
        )


def cost_of_chain(source: str) -> Cost:
    """The cost of a name, of a file of weights, or of several joined by `+`.

    **Raises:** what `mapjax.models.load` raises, where there is no such model.
    """
    return Cost(*map(sum, zip(*map(cost_of, load_models(source)), strict=True)))
