"""Weights on disk: safetensors with the model's configuration in the header, never a pickle."""

import json
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from mapjax._files import replacing, user_cache
from mapjax.models.config import RainHazeConfig
from mapjax.models.maxim import Maxim, MaximConfig
from mapjax.models.rainhaze import RainHaze

FORMATS: dict[str, tuple[type, type]] = {
    "mapjax-rainhaze-3": (RainHaze, RainHazeConfig),
    "mapjax-maxim-1": (Maxim, MaximConfig),
}
"""What a file's header calls its network -> the network and its configuration."""


def save(
    model: RainHaze | Maxim, path: str | Path, *, metadata: dict[str, str] | None = None
) -> None:
    """Writes a model's parameters and configuration as one safetensors file.

    `path` is replaced in one step: a reader, or an interruption, never sees half a file.
    `metadata`: further strings for the header.

    **Raises:** `OSError` where the folder cannot be written to.
    """
    from safetensors.numpy import save as to_bytes

    # In C order: safetensors writes the memory of an array as it lies, whatever the strides say.
    tensors = {
        ".".join(map(str, name)): np.asarray(value, order="C")
        for name, value in _parameters(model).items()
    }
    (format_name,) = (name for name, (network, _) in FORMATS.items() if type(model) is network)
    header = {"format": format_name, "config": model.config.to_json(), **(metadata or {})}
    with replacing(Path(path)) as file:
        file.write(to_bytes(tensors, metadata=header))


def load(model: str | Path = "rainhaze-s", *, dtype: str | None = None) -> RainHaze | Maxim:
    """Reads a model: by name, or a safetensors file that `save` wrote.

    Names are those of the package's models, and of published ones that `mapjax weights get` has put
    into the user's cache folder. `dtype`: of the activations, `"float32"` or `"bfloat16"`; the
    file's own where it is None.

    **Raises:** `FileNotFoundError` where there is no such name or file (the message lists the
    names), `ValueError` where the file is not a mapjax model or its tensors do not fit.

    >>> load("rainhaze-s").config.stride in (1, 2, 4, 8)
    True
    """
    from safetensors import SafetensorError, safe_open

    path = find_weights(model)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from error
    if header.get("format") not in FORMATS:
        raise ValueError(
            f"{path}: not a mapjax model: its header's format is {header.get('format')!r}, "
            f"expected one of {', '.join(map(repr, FORMATS))}"
        )
    network, kind = FORMATS[header["format"]]
    settings = json.loads(header["config"])
    config = kind(**{**settings, **({"dtype": dtype} if dtype else {})})
    return with_parameters(network, config, tensors, source=str(path))


def with_parameters(network: type, config: Any, tensors: dict, *, source: str) -> Any:
    """A network of this class and configuration with these parameters (name -> array).

    **Raises:** `ValueError` that names `source` and the tensors that are missing, unexpected or of
    another shape.
    """
    graph, state = nnx.split(abstract(network, config))
    expected = {".".join(map(str, name)): name for name in _flat(state)}
    if expected.keys() != tensors.keys():
        raise ValueError(
            f"{source}: the tensors do not fit the configuration: "
            f"missing {sorted(expected.keys() - tensors.keys())}, "
            f"unexpected {sorted(tensors.keys() - expected.keys())}"
        )
    shapes = _flat(state)
    for name, path in expected.items():
        if shapes[path].shape != tensors[name].shape:
            raise ValueError(
                f"{source}: tensor {name!r} has shape {tensors[name].shape}, "
                f"the configuration expects {shapes[path].shape}"
            )
    values = {path: np.asarray(tensors[name]) for name, path in expected.items()}
    pure = nnx.to_pure_dict(state)
    _fill(pure, values)
    nnx.replace_by_pure_dict(state, pure)
    return nnx.merge(graph, state)


def abstract(network: type, config: Any) -> Any:
    """A network whose parameters are shapes: nothing is computed, nothing held."""
    keys = _OneKey(jax.random.key(0))
    return nnx.eval_shape(lambda: network(config, rngs=keys))


class _OneKey(NamedTuple):
    """In the place of `nnx.Rngs` where the shapes alone are wanted.

    The counter of `nnx.Rngs` is a variable, which JAX traces back through all equations so far
    whenever it is set: time that grows with the square of the parameters.
    """

    key: jax.Array

    def params(self) -> jax.Array:
        return self.key


def find_weights(model: str | Path) -> Path:
    """The file of a name, or of a path; see `load`."""
    packaged = resources.files("mapjax") / "weights"
    names = sorted(p.name.removesuffix(".safetensors") for p in packaged.iterdir())
    names = [n for n in names if (packaged / f"{n}.safetensors").is_file()]
    if str(model) in names:
        return Path(str(packaged / f"{model}.safetensors"))
    for path in (Path(model), cached_weights(str(model))):
        if path.is_file():
            return path
    from mapjax.models.zoo import PUBLISHED  # it saves what it converts by this module

    if str(model) in PUBLISHED:
        raise FileNotFoundError(
            f"the weights of {model} are not on this machine yet: mapjax weights get {model}"
        )
    raise FileNotFoundError(
        f"model {str(model)!r}: neither a file nor one of the package's models "
        f"({', '.join(names)}) nor a published one ({', '.join(PUBLISHED)})"
    )


def cached_weights(name: str) -> Path:
    """Where the weights of a published model are, once `mapjax weights get` has put them there."""
    return user_cache() / "weights" / f"{name}.safetensors"


def _parameters(model):
    return _flat(nnx.state(model, nnx.Param))


def _flat(state) -> dict:
    """Path -> array, the same on every Flax version."""
    flat = {}

    def visit(node, path):
        if isinstance(node, dict):
            for key, child in node.items():
                visit(child, (*path, key))
        else:
            flat[path] = node

    visit(nnx.to_pure_dict(state), ())
    return flat


def _fill(pure: dict, values: dict) -> None:
    for path, value in values.items():
        node = pure
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
