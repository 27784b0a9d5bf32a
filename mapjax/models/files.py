"""Weights on disk: safetensors with the model's configuration in the header, never a pickle."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
from flax import nnx

from mapjax._files import replacing
from mapjax.models.config import RainHazeConfig
from mapjax.models.rainhaze import RainHaze

FORMAT = "mapjax-rainhaze-1"


def save(model: RainHaze, path: str | Path, *, metadata: dict[str, str] | None = None) -> None:
    """Writes a model's parameters and configuration as one safetensors file.

    `path` is replaced in one step: a reader, or an interruption, never sees half a file.
    `metadata`: further strings for the header.

    **Raises:** `OSError` where the folder cannot be written to.
    """
    from safetensors.numpy import save as to_bytes

    tensors = {
        ".".join(map(str, name)): np.asarray(value) for name, value in _parameters(model).items()
    }
    header = {"format": FORMAT, "config": model.config.to_json(), **(metadata or {})}
    with replacing(Path(path)) as file:
        file.write(to_bytes(tensors, metadata=header))


def load(model: str | Path = "rainhaze-s", *, dtype: str | None = None) -> RainHaze:
    """Reads a model: one of the package by name, or a safetensors file that `save` wrote.

    `dtype`: of the activations, `"float32"` or `"bfloat16"`; the file's own where it is None.

    **Raises:** `FileNotFoundError` where there is no such name or file (the message lists the
    names), `ValueError` where the file is not a mapjax model or its tensors do not fit.

    >>> load("rainhaze-s").config.stride in (1, 2, 4, 8)
    True
    """
    from safetensors import SafetensorError, safe_open

    path = _find(model)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path}: not a mapjax model: its header's format is {header.get('format')!r}, "
            f"expected {FORMAT!r}"
        )
    settings = json.loads(header["config"])
    config = RainHazeConfig(**{**settings, **({"dtype": dtype} if dtype else {})})
    return with_parameters(config, tensors, source=str(path))


def with_parameters(config: RainHazeConfig, tensors: dict, *, source: str) -> RainHaze:
    """A model of this configuration with these parameters (name -> array).

    **Raises:** `ValueError` that names `source` and the tensors that are missing, unexpected or of
    another shape.
    """
    model = nnx.eval_shape(lambda: RainHaze(config, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(model)
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


def _find(model: str | Path) -> Path:
    packaged = resources.files("mapjax") / "weights"
    names = sorted(p.name.removesuffix(".safetensors") for p in packaged.iterdir())
    names = [n for n in names if (packaged / f"{n}.safetensors").is_file()]
    if str(model) in names:
        return Path(str(packaged / f"{model}.safetensors"))
    if Path(model).is_file():
        return Path(model)
    raise FileNotFoundError(
        f"model {str(model)!r}: neither a file nor one of the package's models ({', '.join(names)})"
    )


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
