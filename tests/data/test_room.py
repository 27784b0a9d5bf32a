"""Imagined rooms: rays meet what geometry says they meet, and views are pictures with a depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mapjax.data import RenderSettings, render
from mapjax.data._boxes import Boxes, meet
from mapjax.data._texture import read_texture

_SIZE, _EYE = jnp.array([4.0, 3.0, 6.0]), jnp.array([2.0, 1.0, 1.0])


def _look(*ray):
    return tuple(jnp.full((1, 1), part, jnp.float32) for part in ray)


def _one_box(*, centre=(2.0, 1.0, 4.0), half=(0.5, 0.5, 0.5), turn=0.0):
    return Boxes(jnp.array([centre]), jnp.array([half]), jnp.array([turn]))


_meet_compiled = jax.jit(meet)


def _meet(ray, **box):
    hit = _meet_compiled(_EYE, _look(*ray), _SIZE, _one_box(**box))
    return [float(hit.distance[0, 0]), *(float(n[0, 0]) for n in hit.normal)], int(
        hit.material[0, 0]
    )


def test_rays_meet_the_sides_of_the_room():
    away = dict(centre=(100.0, 1.0, 4.0))
    for ray, expected, material in [
        ((1, 0, 0), [2, -1, 0, 0], 1),
        ((-1, 0, 0), [2, 1, 0, 0], 0),
        ((0, 1, 0), [2, 0, -1, 0], 3),
        ((0, -1, 0), [1, 0, 1, 0], 2),
        ((0, 0, 1), [5, 0, 0, -1], 5),
        ((0, 0, -2), [0.5, 0, 0, 1], 4),
    ]:
        met, found = _meet(ray, **away)
        np.testing.assert_allclose(met, expected, atol=1e-5)
        assert found == material


def test_rays_meet_boxes_before_walls_whichever_way_they_are_turned():
    met, material = _meet((0, 0, 1))
    np.testing.assert_allclose(met, [2.5, 0, 0, -1], atol=1e-5)
    assert material == 6
    # Turned by an eighth, a box shows an edge, half a diagonal nearer than its centre.
    met, _ = _meet((0.001, 0, 1), turn=np.pi / 4)
    np.testing.assert_allclose(met[0], 3 - np.sqrt(0.5), atol=5e-3)
    np.testing.assert_allclose(np.abs(met[1:]), [np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-5)


def test_nothing_behind_or_around_the_camera_is_met():
    for centre in [(2.0, 1.0, -2.0), (2.0, 1.0, 1.0)]:
        met, material = _meet((0, 0, 1), centre=centre)
        np.testing.assert_allclose(met[0], 5, atol=1e-5)
        assert material == 5


def test_textures_are_the_picture_and_its_mirror_images():
    paper = jax.random.uniform(jax.random.key(0), (8, 16, 3))
    down, across = np.mgrid[:8, :16].astype(np.float32) + 0.5
    fine, read = jnp.ones((8, 16)), jax.jit(read_texture)
    np.testing.assert_array_equal(read(paper, across, down, fine), paper)
    np.testing.assert_array_equal(read(paper, across + 32, down - 16, fine), paper)
    np.testing.assert_array_equal(read(paper, across + 16, down, fine), paper[:, ::-1])
    np.testing.assert_array_equal(read(paper, across, -down, fine), paper)
    coarse = read(paper, across, down, 2 * fine)
    np.testing.assert_allclose(coarse[0, 0], paper[:2, :2].mean((0, 1)), rtol=1e-6)


@pytest.fixture(scope="module")
def rendered():
    """Rooms in haze of density 1, which tells their depth, papered with pictures of depth 1."""
    clean = jax.random.uniform(jax.random.key(2), (16, 24, 33, 3))
    settings = RenderSettings(
        room=1.0,
        rain_only=0.0,
        haze_only=1.0,
        rain_and_haze=0.0,
        density=(1.0, 1.0),
        least_transmission=0.0,
        tone_probability=0.0,
        noise_probability=0.0,
        eight_bit=False,
    )
    made = render(jax.random.key(3), clean, settings=settings, depth=jnp.ones((16, 24, 33)))
    return clean, jax.tree.map(np.asarray, made)


def test_views_are_pictures_with_a_depth_of_mean_one(rendered):
    picture, depth = rendered[1].clean, -np.log(rendered[1].transmission[..., 0])
    assert picture.min() >= 0 and picture.max() <= 1
    assert (picture.std(axis=(1, 2, 3)) > 0.01).all()
    assert (depth > 0).all()
    np.testing.assert_allclose(depth.mean((1, 2)), 1, rtol=1e-4)
    # No two rooms are alike, and each has things nearer than its far wall.
    assert len(np.unique(depth.max((1, 2)).round(4))) == 16
    assert np.median(depth.min((1, 2))) < 0.7


def test_render_puts_the_room_and_its_depth_under_the_haze(rendered):
    clean, made = rendered
    assert (jnp.abs(made.clean - clean).max((1, 2, 3)) > 0.1).all()
    # The depth that came with the pictures, the same everywhere, is not that of the rooms.
    assert (np.ptp(made.transmission, axis=(1, 2, 3)) > 0.02).all()
    t, a = made.transmission, made.airlight[:, None, None]
    np.testing.assert_allclose(made.observed, made.clean * t + a * (1 - t), atol=1e-5)
