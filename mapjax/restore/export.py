"""Restoration as a program without Python: StableHLO, with the weights in it."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.export import Exported

from mapjax.restore.restorer import RestorationModel, glance_at, restore_tile

PLATFORMS = ("cpu", "cuda", "tpu")


def export_restore(
    model: RestorationModel, *, height: int, width: int, platform: str = "cpu"
) -> Exported:
    """The restoration of pictures of one size, lowered for a platform that need not be here.

    `exported.serialize()` gives bytes that `jax.export.deserialize` reads on another machine, where
    neither this package nor Flax is needed; `exported.mlir_module()` is the program as text. The
    picture is restored whole, as `restore` does with a picture that fits one tile.

    Args:
      model: what restores; its weights become part of the program.
      height, width: of the pictures, in pixels.
      platform: "cpu", "cuda" or "tpu": what it is lowered for, with the kernels of that platform.

    Returns:
      The program, of a picture `(height, width, 3)` of uint8, to the same.

    Raises:
      ValueError: a size below 1, or another platform.

    Example:
      >>> import jax, numpy as np
      >>> from mapjax.models import DarkChannel
      >>> program = export_restore(DarkChannel(), height=20, width=30).serialize()
      >>> jax.export.deserialize(program).call(np.zeros((20, 30, 3), np.uint8)).shape
      (20, 30, 3)

    Source: JAX, exporting and serializing staged-out computations.
    """
    if min(height, width) < 1:
        raise ValueError(f"export_restore: {height=} and {width=} must be at least 1")
    if platform not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise ValueError(f"export_restore: platform must be one of {known}, got {platform!r}")
    graph, state = nnx.split(model)
    beyond = ((0, -height % model.multiple), (0, -width % model.multiple), (0, 0))

    def restore(picture: jax.Array) -> jax.Array:
        tile = jnp.pad(picture, beyond, mode="edge")
        glance = glance_at(graph, state, picture)
        return restore_tile(graph, state, tile, glance, (0, 0, height, width))[:height, :width]

    picture = jax.ShapeDtypeStruct((height, width, 3), jnp.uint8)
    return jax.export.export(jax.jit(restore), platforms=[platform])(picture)
