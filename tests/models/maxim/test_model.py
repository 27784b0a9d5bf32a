"""The network: its sizes, what it is supervised on, its precision, and its numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mapjax.models import Maxim, MaximConfig
from mapjax.models.files import abstract
from mapjax.op.cost import sub_jaxprs
from mapjax.restore import export_restore, restore

TINY = MaximConfig(features=4, stages=2, windows=(2, 2), groups=1, bottlenecks=1, reduction=2)


class Still(Maxim):
    """What is around the network alone: it restores nothing, and keeps what it was given."""

    def __init__(self):
        self.config = TINY

    def outputs(self, image):
        self.seen = nnx.Param(image)
        return [[image, None]]


@pytest.mark.parametrize("size", [(1, 1), (13, 10), (16, 33)], ids=str)
def test_every_size_comes_back_as_it_was(size):
    assert TINY.multiple == 8
    image = np.random.default_rng(0).random((2, *size, 3), np.float32)
    model = Still()
    np.testing.assert_array_equal(model(jnp.asarray(image)), image)
    assert model.seen.shape == (2, *(-(-side // 8) * 8 for side in size), 3)


def test_a_picture_is_continued_by_reflection():
    row = np.arange(13, dtype=np.float32)
    image = np.broadcast_to(row[None, None, :, None], (1, 8, 13, 3))
    model = Still()
    model(jnp.asarray(image))
    # To 14 on the right, then one more on either side.
    expected = [1, *range(13), 11, 12]
    np.testing.assert_array_equal(model.seen[0, 0, :, 0], expected)


def _outputs(config, size=(8, 16)):
    graph, state = nnx.split(abstract(Maxim, config))
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    return jax.make_jaxpr(lambda s, x: nnx.merge(graph, s).outputs(x), return_shape=True)(
        state, image
    )


def test_every_stage_restores_every_scale():
    _, (first, last) = _outputs(TINY)
    assert [x.shape for x in first] == [x.shape for x in last] == [(1, 8, 16, 3), (1, 4, 8, 3)]


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for part, _ in sub_jaxprs(equation, "cpu"):
            yield from _equations(part)


def test_what_is_asked_for_in_half_precision_with_less_memory():
    config = dataclasses.replace(TINY, stages=1, coarse_outputs=False, dtype="bfloat16", remat=True)
    program, ((restored, coarse),) = _outputs(config)
    assert (restored.shape, restored.dtype, coarse) == ((1, 8, 16, 3), jnp.float32, None)
    equations = list(_equations(program.jaxpr))
    layers = [e for e in equations if e.primitive.name in ("dot_general", "conv_general_dilated")]
    assert len(layers) > 50
    assert {x.aval.dtype.name for layer in layers for x in layer.invars} == {"bfloat16"}
    # Two bodies down, two up, one at the bottom.
    again = [e for e in equations if e.primitive.name in ("checkpoint", "remat2", "remat")]
    assert len(again) == 5


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 8, got \(16, 30\)"):
        Maxim.outputs(Still(), jnp.zeros((1, 16, 30, 3)))


def test_a_program_without_python(drawn):
    config = dataclasses.replace(TINY, stages=1, windows=(2,))
    model = drawn(Maxim, config)
    picture = np.random.default_rng(0).integers(0, 256, (13, 10, 3), np.uint8)
    program = export_restore(model, height=13, width=10).serialize()
    restored = jax.export.deserialize(program).call(picture)
    np.testing.assert_array_equal(restored, restore(picture, model=model))


@pytest.mark.breadth
def test_the_numbers_are_those_that_equal_the_published_network(drawn):
    """Found when the network with the published weights gave what TensorFlow.js gives."""
    config = dataclasses.replace(TINY, coarse_outputs=False)
    model = drawn(Maxim, config)
    rows, columns = np.mgrid[0:8, 0:16].astype(np.float32) / 16
    image = np.stack([rows, columns, rows * columns], axis=-1)[None]
    graph, state = nnx.split(model)
    restored = jax.jit(lambda s, x: nnx.merge(graph, s)(x))(state, image)
    np.testing.assert_allclose(restored[0, ::7, ::15], EXPECTED, rtol=1e-3, atol=1e-3)


EXPECTED = [
    [[-0.0271, 0.1208, 0.2003], [-0.1676, 1.0252, -0.2085]],
    [[0.5371, 0.2183, 0.3073], [0.3335, 1.0606, 0.4362]],
]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(stages=0), "stages must be at least 1"),
        (dict(windows=()), "windows must be at least 1"),
        (dict(features=6), "multiple of reduction, got 6 and 4"),
        (dict(dtype="float16"), "dtype must be 'float32' or 'bfloat16', got 'float16'"),
    ],
)
def test_settings_that_make_no_network_are_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        MaximConfig(**wrong)


def test_a_configuration_survives_its_text():
    assert MaximConfig.from_json(TINY.to_json()) == TINY
