"""Trees as tables."""

from typing import Any

import jax


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths.

    >>> named_leaves({"layer": {0: 1.5}})
    {'layer/0': 1.5}
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return dict(zip(names, (leaf for _, leaf in leaves), strict=True))
