"""Cheap steps put together with the step that they belong to, so that a graph can be read."""

from collections import defaultdict

from mapjax.view._program import Node

_CLOSED = ("input", "operation", "loop", "output")  # these stand alone


def group(nodes: list[Node]) -> list[list[int]]:
    """The nodes in groups that form a graph without cycles, in the order of computation.

    A cheap step joins the group that all its arguments come from, or the one that all its results
    go to. No other path can lead from the one to the other, so no cycle arises: an activation joins
    the convolution before it, and a sum of two branches stays by itself.
    """
    group_of = list(range(len(nodes)))
    members = {i: [i] for i in group_of}
    sources = [{v.node for v in node.takes if v.node is not None} for node in nodes]

    def join(child: int, parent: int) -> None:
        for i in members[child]:
            group_of[i] = parent
        members[parent] = sorted(members[parent] + members.pop(child))

    def is_light(group: int) -> bool:
        return all(nodes[i].kind == "light" for i in members[group])

    def is_open(group: int) -> bool:
        return all(nodes[i].kind not in _CLOSED for i in members[group])

    changed = True
    while changed:
        changed = False
        for forward in (True, False):
            before, after = defaultdict(set), defaultdict(set)
            for i, found in enumerate(sources):
                for source in found:
                    if group_of[source] != group_of[i]:
                        before[group_of[i]].add(group_of[source])
                        after[group_of[source]].add(group_of[i])
            for child in sorted(members, reverse=not forward):
                near = (before if forward else after)[child]
                near = {group_of[other] for other in near} - {child}
                if len(near) == 1 and is_light(child) and is_open(parent := near.pop()):
                    join(child, parent)
                    changed = True
    return _in_order(members, group_of, sources)


def _in_order(
    members: dict[int, list[int]], group_of: list[int], sources: list[set[int]]
) -> list[list[int]]:
    """Topological order; of groups that are ready, the one whose last step comes first."""
    waiting = {
        g: {group_of[s] for i in steps for s in sources[i]} - {g} for g, steps in members.items()
    }
    ordered: list[list[int]] = []
    while waiting:
        ready = [g for g, before in waiting.items() if not before]
        chosen = min(ready, key=lambda g: members[g][-1])
        ordered.append(members[chosen])
        del waiting[chosen]
        for before in waiting.values():
            before.discard(chosen)
    return ordered
