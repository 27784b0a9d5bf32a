"""Parameters in a graph of TensorFlow.js, found by what the graph does with them."""

import json
import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MODEL = "package/models/model.json"
"""Where the packages of the npm registry have the graph."""


class Parameter(NamedTuple):
    """`module`: the path of what uses it; `name`: what for; `operation`: by which of the graph."""

    module: str
    name: str
    operation: str
    value: np.ndarray


# What consumes a parameter, as JAX lowers Flax's layers -> what Flax calls the parameter. The node
# of the operation lies in the scope of its module, under a name that this one ends in. Names of the
# constants would not do: those that no operation was folded into are numbered.
_USES = {
    "Einsum": ("kernel", "/einsum/Einsum"),
    "Conv2D": ("kernel", "/Conv2D"),
    "Conv2DBackpropInput": ("kernel", "/conv2d_transpose"),
    "Mul": ("scale", "/jit_fn_/Mul"),
    "AddV2": ("bias", "/jit_fn_/AddV2"),
}


def read_parameters(archive: Path) -> list[Parameter]:
    """The parameters of the graph in a package, in the layouts of TensorFlow.

    **Raises:** `ValueError` where the package or its graph is of another kind; `OSError` and
    `tarfile.TarError` where it cannot be read.
    """
    with tarfile.open(archive) as package:
        model = json.loads(_read(package, MODEL))
        folder = MODEL.rpartition("/")[0]
        constants = {
            name: value
            for group in model["weightsManifest"]
            for name, value in _constants(
                group["weights"],
                b"".join(_read(package, f"{folder}/{path}") for path in group["paths"]),
            )
        }
    # Numbers that are no parameters (an epsilon, a slope) are scalars.
    arrays = {n: x for n, x in constants.items() if x.dtype == np.float32 and x.size > 1}
    uses: dict[str, list[dict[str, Any]]] = {name: [] for name in arrays}
    for node in model["modelTopology"]["node"]:
        for name in {text.split(":")[0] for text in node.get("input", [])} & uses.keys():
            uses[name].append(node)
    return [_parameter(name, value, uses[name]) for name, value in arrays.items()]


def _parameter(name: str, value: np.ndarray, nodes: list[dict[str, Any]]) -> Parameter:
    if len(nodes) != 1:
        raise ValueError(f"the array {name} is used {len(nodes)} times in the graph, expected once")
    operation, path = nodes[0]["op"], nodes[0]["name"]
    kind, ending = _USES.get(operation, ("", ""))
    module, found, number = path.rpartition(ending) if ending else ("", "", "")
    if not found or number.strip("_0123456789"):
        raise ValueError(f"the array {name} is used by {path} ({operation}), which is no layer")
    return Parameter(module, kind, operation, value)


def _constants(weights: list[dict[str, Any]], data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    offset = 0
    for entry in weights:
        if entry["dtype"] not in ("float32", "int32") or "quantization" in entry:
            raise ValueError(f"{entry['name']} is not stored as float32 or int32")
        count = math.prod(entry["shape"])
        value = np.frombuffer(data, f"<{entry['dtype'][0]}4", count, offset)
        offset += value.nbytes
        yield entry["name"], value.reshape(entry["shape"])
    if offset != len(data):
        raise ValueError(f"the shards hold {len(data)} bytes, model.json describes {offset}")


def _read(package: tarfile.TarFile, path: str) -> bytes:
    try:
        file = package.extractfile(path)
    except KeyError:
        file = None
    if file is None:
        raise ValueError(f"no file {path} in the archive")
    return file.read()
