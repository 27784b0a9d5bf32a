"""Sizes and options that satisfy the constraints of an operation."""

import itertools
from typing import Literal

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from mapjax.op import op
from mapjax.op.check import settings, sizes


@op(
    where=[
        "taps == len(offsets)",
        "(0, 0) in offsets",
        "grid == ceil(height / stride)",
        "height % 3 != 1",
    ]
)
def slice_grid(
    x: Float[Array, "*batch height 3"],
    grid: Float[Array, "*batch taps grid"],
    *,
    offsets: tuple[tuple[int, int], ...],
    stride: Literal[1, 2, 4] = 1,
    gain: float = 1.0,
    exact: bool = False,
) -> Float[Array, "*batch height 3"]:
    return x * jnp.sum(grid)


@pytest.mark.parametrize("wish", sizes.WISHES, ids=lambda wish: wish.label)
def test_every_solution_satisfies_the_constraints(wish):
    values = settings.first_values(slice_grid.signature, {})
    found = sizes.solve(slice_grid.signature, slice_grid.constraints, values, wish)
    for dims, static in itertools.islice(found, 5):
        shapes = sizes.shapes(slice_grid.signature, dims, wish.rank)
        avals = tuple((shape, jnp.float32.dtype) for shape in shapes)
        bindings = slice_grid.signature.check_arrays(avals)
        assert not [c for c in slice_grid.constraints if c.violation(bindings, static)]
        assert shapes[0][-1] == 3
        assert not wish.empty or 0 in shapes[0]


def test_the_sizes_that_were_wished_for_come_first():
    @op
    def f(x: Float[Array, "*batch n"], y: Float[Array, "n m"]) -> Float[Array, "*batch m"]:
        return x @ y

    first = {wish.label: next(sizes.solve(f.signature, (), {}, wish))[0] for wish in sizes.WISHES}
    assert first["even sizes"]["batch"] == (2,)
    assert all(first["odd sizes"][name] % 2 for name in ("n", "m"))
    assert first["size 1"] == {"batch": (1,), "n": 1, "m": 1}
    assert first["no batch"]["batch"] == ()
    assert first["a long last dimension"]["n"] == 131
    assert first["empty batch"]["batch"] == (0,)
    assert first["even sizes"]["n"] != first["even sizes"]["m"]


def test_constraints_that_nothing_satisfies():
    @op(where=["n < 0"])
    def f(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x

    assert list(sizes.solve(f.signature, f.constraints, {}, sizes.EVEN)) == []


def test_other_values_of_options_fit_their_annotations():
    setting = dict(offsets=((0, 0),), stride=1, gain=1.0, exact=False)
    changes = settings.other_values(slice_grid.signature, setting)
    by_name = {name: [v for n, v in changes if n == name] for name in setting}
    assert by_name["stride"] == [2, 4]
    assert by_name["exact"] == [True]
    assert 1.0 not in by_name["gain"] and by_name["gain"]
    slice_grid.signature.check_statics({**setting, **dict(changes)})


def test_an_option_whose_values_cannot_be_told():
    @op
    def f(x: Float[Array, "n"], *, name: str) -> Float[Array, "n"]:
        return x

    with pytest.raises(TypeError, match=r"option 'name' .* \(str\) .* pass options=\{'name': "):
        settings.first_values(f.signature, {})
    assert settings.first_values(f.signature, {"name": "a"}) == {"name": ["a"]}
