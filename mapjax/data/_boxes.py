"""Where rays through the pixels of a picture meet a room and the boxes in it."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

# Vectors are tuples of planes: XLA fuses what becomes of them, and pixels lie on the lanes.
Plane = Float[Array, "height width"]
Planes = tuple[Plane, ...]


class Boxes(NamedTuple):
    """Boxes that may be turned about the vertical: metres, `y` up, `z` into the room."""

    centre: Float[Array, "*boxes 3"]
    half: Float[Array, "*boxes 3"]
    turn: Float[Array, "*boxes"]


class Hit(NamedTuple):
    """What rays meet first.

    Attributes:
        distance: in multiples of the ray.
        normal: of what is met, of length 1.
        where: on the side that is met, in metres: along it, and down it (on floors and lids, into
            the room).
        material: 0 to 5 for the sides of the room, then one for each box.
    """

    distance: Plane
    normal: Planes
    where: Planes
    material: Int32[Array, "height width"]


def turn(vector: Sequence[Array], angle: Array) -> Planes:
    """A vector turned about the vertical."""
    (x, y, z), cos, sin = vector, jnp.cos(angle), jnp.sin(angle)
    return x * cos + z * sin, y, z * cos - x * sin


def _crossings(
    origin: Sequence[Array], rays: Sequence[Array], half: Sequence[Array]
) -> tuple[Array, Array]:
    """Where rays enter the space between the planes of each pair of sides, and where they leave."""
    slowness = [1 / jnp.where(jnp.abs(ray) < 1e-6, 1e-6, ray) for ray in rays]
    middle = [-start * slow for start, slow in zip(origin, slowness, strict=True)]
    spread = [length * jnp.abs(slow) for length, slow in zip(half, slowness, strict=True)]
    enter = [m - s for m, s in zip(middle, spread, strict=True)]
    leave = [m + s for m, s in zip(middle, spread, strict=True)]
    return reduce(jnp.maximum, enter), reduce(jnp.minimum, leave)


def meet(
    eye: Float[Array, "3"],
    rays: Planes,
    size: Float[Array, "3"],
    boxes: Boxes,
    *,
    near: float = 0.2,
) -> Hit:
    """What each ray meets first: a box, or from within a side of the room.

    Args:
        eye: where rays start, inside the room.
        rays: their directions; distances count in their lengths.
        size: the room spans from 0 to here.
        boxes: in the room, at least one.
        near: boxes are seen from this distance on.

    Source: slabs, T. L. Kay and J. T. Kajiya, "Ray tracing complex scenes", SIGGRAPH 1986.
    """
    count = len(boxes.turn)
    _, leave = _crossings(eye - size / 2, rays, size / 2)
    nothing = leave, jnp.full(leave.shape, count)

    def nearer(met, numbered):
        (distance, last), (index, box) = met, numbered
        origin = turn(eye - box.centre, -box.turn)
        enter, leave = _crossings(origin, turn(rays, -box.turn), box.half)
        closer = (enter < leave) & (enter > near) & (enter < distance)
        return (jnp.where(closer, enter, distance), jnp.where(closer, index, last)), None

    (distance, index), _ = jax.lax.scan(nearer, nothing, (jnp.arange(count), boxes))

    # Once more, for what was met: the room is a box seen from within. Transposing twice brings the
    # components to the front, where there are some.
    room = Boxes(size / 2, size / 2, jnp.zeros(()))
    box = jax.tree.map(
        lambda some, one: jnp.concatenate([some, one[None]])[index].T.swapaxes(-1, -2), boxes, room
    )
    turned = turn(rays, -box.turn)
    start = turn([at - centre for at, centre in zip(eye, box.centre, strict=True)], -box.turn)
    place = [at + distance * ray for at, ray in zip(start, turned, strict=True)]
    beyond = [jnp.abs(at) - length for at, length in zip(place, box.half, strict=True)]
    axis = jnp.argmax(jnp.stack(beyond), axis=0)
    towards = [jnp.where(axis == i, -jnp.sign(ray), 0.0) for i, ray in enumerate(turned)]
    x, y, z = place
    # Along the side, and down it; on floors and lids, into the room.
    where = jnp.where(axis == 0, z, x), jnp.where(axis == 1, z, -y)
    material = jnp.where(index == count, 2 * axis + jnp.where(sum(towards) < 0, 1, 0), 6 + index)
    return Hit(distance, turn(towards, box.turn), where, material)
