"""`mapjax export`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mapjax.cli import _output
from mapjax.restore.defaults import DEFAULT_MODEL


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a network as files that need no mapjax: weights, model card, and a program for JAX.

    The program restores pictures of one size, uint8 (height, width, 3), with the weights in it:
    jax.export.deserialize(FILE.read_bytes()).call(picture). It is lowered for a platform that need
    not be here. Files in the output folder are replaced.
    """

    output: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder to write to."""
    size: Annotated[tuple[int, int], tyro.conf.arg(metavar="HEIGHT WIDTH")]
    """Of the pictures, in pixels."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|PATH")] = DEFAULT_MODEL
    """Name of a network (mapjax models lists them), or a file of weights (safetensors)."""
    platform: Literal["cpu", "cuda", "tpu"] = "cpu"
    """What the program is lowered for, with the kernels of that platform."""


def main(arguments: Sequence[str]) -> int:
    """Runs `mapjax export`; the exit status is 1 where nothing could be written."""
    command = tyro.cli(Export, prog="mapjax export", args=arguments)
    # Imported here: the help does not wait for JAX.
    from mapjax._files import replacing
    from mapjax.models.files import find_weights
    from mapjax.op.cost import human
    from mapjax.restore import export_restore, load_model
    from mapjax.restore.defaults import DARK_CHANNEL

    height, width = command.size
    try:
        model = load_model(command.model)
        exported = export_restore(model, height=height, width=width, platform=command.platform)
        name = Path(command.model).stem
        files = {f"{name}-{command.platform}-{height}x{width}.jax": exported.serialize()}
        if command.model != DARK_CHANNEL:  # which has no weights
            weights = find_weights(command.model)
            found = (path for path in (weights, weights.with_suffix(".md")) if path.is_file())
            files |= {path.name: path.read_bytes() for path in found}
        command.output.mkdir(parents=True, exist_ok=True)
        for file_name, content in files.items():
            with replacing(command.output / file_name) as file:
                file.write(content)
            print(f"{command.output / file_name}  {human(len(content), 'B')}")
    except (OSError, ValueError) as error:
        _output.say_error(error)
        return 1
    return 0
