"""Imagined rooms: a picture in; out comes a view of a room that it papers, with its depth."""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ._boxes import Boxes, Hit, Plane, Planes, meet, turn
from ._draw import Draws
from ._texture import read_texture

_STANDING, _HANGING = 14, 10  # boxes
_MATERIALS = 6 + _STANDING + _HANGING  # one for each side of the room, one for each box
_FURNITURE_WORDS, _HANGING_WORDS, _MATERIAL_WORDS = 7, 8, 10
WORDS = 16 + _FURNITURE_WORDS * _STANDING + _HANGING_WORDS * _HANGING + _MATERIAL_WORDS * _MATERIALS


class View(NamedTuple):
    """What a camera sees, and how far away it is, in units of the mean."""

    picture: Float[Array, "height width 3"]
    depth: Float[Array, "height width"]


def draw_room(draws: Draws, paper: Float[Array, "height width 3"]) -> View:
    """Draw a room with boxes standing in it and hanging on its walls, all papered with a picture.

    A ray a pixel meets the sides of the room and of the boxes, and the nearest counts. Each has a
    colour of its own and some of the texture of `paper`, from none to all of it, in the light of
    a lamp. Indoors, depth follows perspective, and what is far is often a wall as pale as haze:
    neither is so where a smooth field of depth is laid behind a flat picture.

    Args:
        draws: `WORDS` random words.
        paper: the picture that textures are cut from, in [0, 1], at least 8 x 8 pixels.

    Returns:
        The view, of the size of `paper` and in [0, 1], and its depth along the camera's axis.

    Source: scenes at random for a network that real ones await, J. Tobin et al., "Domain
    randomization for transferring deep neural networks", IROS 2017.
    """
    height, width, _ = paper.shape
    size = jnp.stack([draws.uniform(2.5, 7), draws.uniform(2.3, 3.2), draws.uniform(3, 9)])
    eye = size * jnp.stack(
        [draws.uniform(0.15, 0.85), draws.uniform(0.4, 0.75), draws.uniform(0.02, 0.25)]
    )
    rays, footprint = _draw_camera(draws, height, width)

    hit = meet(eye, rays, size, _draw_boxes(draws, size))
    lamp = size * jnp.stack([draws.uniform(), draws.uniform(0.6, 0.95), draws.uniform()])
    place = [at + hit.distance * ray for at, ray in zip(eye, rays, strict=True)]
    light = _light(place, hit.normal, lamp, size, lamps_share=draws.uniform(0.2, 1))
    # Lamps are warm: of blue they may give half of what they give of red.
    warmth = draws.uniform(0, 0.5) * jnp.array([0.0, 0.4, 1.0])
    light = light[..., None] * (1 - warmth)[None, None]
    picture = _paint(draws, hit, paper, footprint * hit.distance) * light
    exposure = draws.uniform(0.2, 0.65) / jnp.maximum(jnp.mean(picture), 1e-3)
    return View(jnp.clip(exposure * picture, 0, 1), hit.distance / jnp.mean(hit.distance))


def _draw_camera(draws: Draws, height: int, width: int) -> tuple[Planes, Float[Array, ""]]:
    """Rays with one metre along the camera's axis, and metres a pixel at that distance."""
    aside, nod = draws.uniform(-0.7, 0.7), draws.uniform(-0.5, 0.1)
    tilt = draws.uniform(-0.06, 0.06)
    scale = 2 * draws.uniform(0.4, 0.7) / max(height, width)
    right = scale * (jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2)[None, :]
    up = scale * ((height - 1) / 2 - jnp.arange(height, dtype=jnp.float32))[:, None]
    x, y = right * jnp.cos(tilt) - up * jnp.sin(tilt), right * jnp.sin(tilt) + up * jnp.cos(tilt)
    y, z = y * jnp.cos(nod) + jnp.sin(nod), jnp.cos(nod) - y * jnp.sin(nod)
    return turn((x, y, z), aside), scale


def _draw_boxes(draws: Draws, size: Float[Array, "3"]) -> Boxes:
    """Furniture: boxes that stand on the floor, and flat ones that hang on the walls."""

    def draw(one, count, words):
        return jax.vmap(lambda words: one(Draws(words), size))(
            draws.words(count * words).reshape(count, words)
        )

    standing = draw(_draw_furniture, _STANDING, _FURNITURE_WORDS)
    hanging = draw(_draw_hanging, _HANGING, _HANGING_WORDS)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), standing, hanging)


def _draw_furniture(draws: Draws, size: Float[Array, "3"]) -> Boxes:
    width, depth = draws.log_uniform(0.1, 1.2), draws.log_uniform(0.1, 0.8)
    height = draws.log_uniform(0.06, 1.2)
    x, z = draws.uniform(), draws.uniform(0.25, 1)  # the camera is in front
    turned = draws.chance(0.5) * draws.uniform(-0.8, 0.8)
    centre = jnp.stack([size[0] * x, height, size[2] * z])
    return Boxes(centre, jnp.stack([width, height, depth]), turned)


def _draw_hanging(draws: Draws, size: Float[Array, "3"]) -> Boxes:
    half = jnp.stack([draws.log_uniform(0.06, 1.2) for _ in range(3)])
    place = size * jnp.stack([draws.uniform(0.2, 1) for _ in range(3)])
    # On the left wall, the right one, or in half of the cases the far one.
    wall, thickness = draws.uniform(0, 4), draws.uniform(0.02, 0.12)
    flat = jnp.arange(3) == jnp.where(wall < 2, 0, 2)
    centre = jnp.where(flat, jnp.where(wall < 1, 0.0, size), place)
    return Boxes(centre, jnp.where(flat, thickness, half), jnp.zeros(()))


def _light(
    place: Planes,
    normal: Planes,
    lamp: Float[Array, "3"],
    size: Float[Array, "3"],
    *,
    lamps_share: Float[Array, ""],
) -> Plane:
    """What a lamp and the light that is everywhere leave; corners are darker."""
    to_lamp = [there - here for there, here in zip(lamp, place, strict=True)]
    square = sum(part**2 for part in to_lamp)
    facing = sum(out * part for out, part in zip(normal, to_lamp, strict=True))
    direct = jnp.maximum(facing, 0) / jnp.sqrt(square + 1e-6) / (0.3 + 0.15 * square)
    gaps = [jnp.minimum(here, side - here) for here, side in zip(place, size, strict=True)]
    # For a point on a wall, the least of the distances to the walls is that to the wall itself.
    second = sum(gaps) - reduce(jnp.minimum, gaps) - reduce(jnp.maximum, gaps)
    open_sky = 1 - 0.45 * jnp.exp(-jnp.maximum(second, 0) / 0.3)
    return (1 - lamps_share) * open_sky + lamps_share * (direct + 0.25 * open_sky)


def _paint(
    draws: Draws, hit: Hit, paper: Float[Array, "height width 3"], footprint: Plane
) -> Float[Array, "height width 3"]:
    """The colour of what is met: its own, and the texture of the picture on it."""
    words = draws.words(_MATERIALS * _MATERIAL_WORDS).reshape(_MATERIALS, _MATERIAL_WORDS)
    is_wall = jnp.arange(_MATERIALS) < 6
    materials = jax.vmap(lambda words, wall: _draw_material(Draws(words), wall))(words, is_wall)
    of = jax.tree.map(lambda part: part[hit.material], materials)

    across, down = (
        part * of.scale + first for part, first in zip(hit.where, of.start, strict=True)
    )
    texture = read_texture(paper, across, down, footprint * of.scale)
    relief = texture - jnp.mean(paper, axis=(0, 1), keepdims=True)
    share = of.texture[..., None]
    return jnp.clip(of.colour + share * (0.8 * relief + 0.4 * (texture - of.colour)), 0, 1)


class _Material(NamedTuple):
    """A colour and a share of texture, of which a metre holds `scale` pixels."""

    colour: Float[Array, "*materials 3"]
    texture: Float[Array, "*materials"]
    scale: Float[Array, "*materials"]
    start: tuple[Float[Array, "*materials"], Float[Array, "*materials"]]


def _draw_material(draws: Draws, is_wall: Bool[Array, ""]) -> _Material:
    luma = draws.uniform(0.02, 1) ** 1.5
    # Walls are pale and plain more often than not.
    luma = jnp.where(is_wall, luma**0.3, luma)
    tint = draws.uniform(0, 0.8) * jnp.where(is_wall, 0.3, 1.0)
    cast = jnp.stack([draws.uniform(-1, 1) for _ in range(3)])
    plain = draws.uniform() < jnp.where(is_wall, 0.5, 0.3)
    return _Material(
        colour=jnp.clip(luma * (1 + tint * cast), 0, 1),
        texture=draws.uniform() * jnp.where(plain, 0.15, 1.0),
        scale=draws.log_uniform(40, 320),
        start=(draws.uniform(0, 1000), draws.uniform(0, 1000)),
    )
