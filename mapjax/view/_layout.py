"""Where the nodes of a drawn graph lie: in layers, with short and straight edges.

The method of Sugiyama et al. (1981) in its simplest form: a layer for each node, order within the
layers by barycentres, then places within the layers by least squares.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Edge = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Centres of nodes, and edges; the top left corner is (0, 0).

    An edge passes each layer vertically, so that it meets no box: it is a list of its x, top and
    bottom there, and runs between the layers from one to the next.
    """

    centres: tuple[tuple[float, float], ...]
    edges: dict[Edge, list[tuple[float, float, float]]]
    width: float
    height: float


def layered(
    sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], gap: tuple[float, float]
) -> Layout:
    """Places for boxes of `sizes` (width, height); `edges` go from lower to higher indices.

    `gap` is the least distance between boxes, along and across the layers.
    """
    layer = _layers(len(sizes), edges)
    widths = [width for width, _ in sizes]
    layers: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for node, k in enumerate(layer):
        layers[k].append(node)
    # An edge across several layers passes through one place of no size in each.
    chains: dict[Edge, list[int]] = {}
    for a, b in edges:
        chain = [a]
        for k in range(layer[a] + 1, layer[b]):
            widths.append(0.0)
            layers[k].append(len(widths) - 1)
            chain.append(len(widths) - 1)
        chains[a, b] = [*chain, b]
    above: list[list[int]] = [[] for _ in widths]
    below: list[list[int]] = [[] for _ in widths]
    for chain in chains.values():
        for a, b in itertools.pairwise(chain):
            below[a].append(b)
            above[b].append(a)
    _order(layers, above, below)
    x = _places(layers, above, below, widths, gap[0])

    bands, y = [], 0.0  # top and bottom of each layer
    for nodes in layers:
        tall = max((sizes[n][1] for n in nodes if n < len(sizes)), default=0.0)
        bands.append((y, y + tall))
        y += tall + gap[1]
    band = {n: bands[k] for k, nodes in enumerate(layers) for n in nodes}
    left = min((x[n] - widths[n] / 2 for n in range(len(widths))), default=0.0)
    x = [place - left for place in x]
    centres = tuple((x[n], sum(band[n]) / 2) for n in range(len(sizes)))
    passages = {edge: [(x[n], *band[n]) for n in chain] for edge, chain in chains.items()}
    for (a, b), passage in passages.items():
        passage[0] = (x[a], centres[a][1] + sizes[a][1] / 2, band[a][1])
        passage[-1] = (x[b], band[b][0], centres[b][1] - sizes[b][1] / 2)
    return Layout(
        centres=centres,
        edges=passages,
        width=max((x[n] + widths[n] / 2 for n in range(len(widths))), default=0.0),
        height=max(0.0, y - gap[1]),
    )


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """Each node below those before it; a node without any goes as low as those after it let it."""
    layer = [0] * count
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    for node in range(count):
        layer[node] = max((layer[a] + 1 for a in before[node]), default=0)
    for node in range(count):
        if not before[node] and after[node]:
            layer[node] = min(layer[b] for b in after[node]) - 1
    return layer


def _order(layers: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each layer by the mean position of its neighbours, downwards and upwards, few times."""
    position = {n: i for nodes in layers for i, n in enumerate(nodes)}
    for sweep in range(8):
        near = above if sweep % 2 == 0 else below
        for nodes in layers if sweep % 2 == 0 else reversed(layers):
            wanted = {
                n: sum(position[m] for m in near[n]) / len(near[n]) if near[n] else position[n]
                for n in nodes
            }
            nodes.sort(key=wanted.__getitem__)
            position |= {n: i for i, n in enumerate(nodes)}


def _places(
    layers: list[list[int]],
    above: list[list[int]],
    below: list[list[int]],
    widths: list[float],
    gap: float,
) -> list[float]:
    """Horizontal centres: each near the mean of its neighbours, in order and without overlap."""
    x = [0.0] * len(widths)
    for sweep in range(12):
        near = above if sweep % 2 == 0 else below
        for nodes in layers if sweep % 2 == 0 else reversed(layers):
            offsets, offset = [], 0.0
            for i, n in enumerate(nodes):
                if i:
                    offset += (widths[nodes[i - 1]] + widths[n]) / 2 + gap
                offsets.append(offset)
            wanted = [sum(x[m] for m in near[n]) / len(near[n]) if near[n] else x[n] for n in nodes]
            free = _nondecreasing([w - o for w, o in zip(wanted, offsets, strict=True)])
            for n, place, o in zip(nodes, free, offsets, strict=True):
                x[n] = place + o
    return x


def _nondecreasing(values: list[float]) -> list[float]:
    """The nearest nondecreasing sequence by least squares: pool adjacent violators."""
    pools: list[tuple[float, int]] = []  # mean, count
    for value in values:
        mean, count = value, 1
        while pools and pools[-1][0] > mean:
            other, size = pools.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        pools.append((mean, count))
    return [mean for mean, count in pools for _ in range(count)]
