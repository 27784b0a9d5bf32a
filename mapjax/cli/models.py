"""`mapjax models`."""

import dataclasses
from collections.abc import Sequence

import tyro


@dataclasses.dataclass(frozen=True)
class Models:
    """List the networks: parameters, arithmetic, licence, and what was measured with them.

    FLOPs are counted in the program for a picture of 256x256, a multiplication and its addition as
    two. Seconds are those of one core of an AMD EPYC for a picture of 620x460. Quality is the PSNR
    of whole sets at 8 bits, by mapjax evaluate --input --target --model (of SOTS indoor the scenes
    1410 to 1419), or - where that was not measured. The card of a network, beside its weights, says
    more.
    """


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax models`."""
    tyro.cli(Models, prog="mapjax models", args=arguments)
    # Imported here: the help does not wait for JAX.
    from mapjax.op.cost import human
    from mapjax.op.table import Table
    from mapjax.restore.catalogue import catalogue

    entries = list(catalogue())
    absent = [entry.name for entry in entries if not entry.here]
    notes = [f"fetch weights that are not here: mapjax weights get {absent[0]}"] if absent else []
    costs = Table(
        "Networks",
        ("network", "takes out", "parameters", "FLOPs", "s", "here"),
        tuple(
            (
                entry.name,
                entry.takes_out,
                human(entry.cost.parameters),
                human(entry.cost.flops),
                entry.seconds,
                entry.here,
            )
            for entry in entries
        ),
        tuple(notes),
    )
    worth = Table(
        "",
        ("network", "measured", "licence"),
        tuple((entry.name, entry.measured or "-", entry.licence) for entry in entries),
    )
    print(costs, worth, sep="\n\n")
    return 0
