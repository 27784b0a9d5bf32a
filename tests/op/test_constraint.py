"""Relations between dimensions and options: one text is the check and the message."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from mapjax.op import op


@op(where=["length % stride == 0", "all(s > 0 for s in steps)", "prod(batch) < 10"])
def stride_sum(
    x: Float[Array, "*batch length"], *, stride: int, steps: tuple[int, ...] = (1,)
) -> Float[Array, "*batch cells"]:
    return jnp.sum(x.reshape(*x.shape[:-1], -1, stride), -1)


def test_holds():
    assert stride_sum(jnp.ones((3, 6)), stride=2).shape == (3, 3)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (
            (3, 5),
            {"stride": 2},
            r"requires length % stride == 0, got length=5 \(from 'x'\), str",
        ),
        ((3, 4), {"stride": 2, "steps": (1, 0)}, r"requires all\(s > 0 .*, got steps=\(1, 0\)$"),
        ((3, 4), {"stride": 0}, r"requires length % stride == 0, .*stride=0: .*zero"),
        ((2, 5, 4), {"stride": 2}, r"requires prod\(batch\) < 10, got batch=\(2, 5\) \(from 'x'\)"),
    ],
)
def test_violated(shape, options, message):
    with pytest.raises(ValueError, match=f"^stride_sum {message}"):
        stride_sum(jnp.ones(shape), **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lenght == 3",
            r"where='lenght == 3' names lenght; it can name length, stride",
        ),
        ("length ==", "operation f: where='length ==' is not a Python expression"),
        ("open(length)", "names open"),
    ],
)
def test_a_text_that_cannot_be_checked_is_refused_at_the_declaration(text, message):
    def f(x: Float[Array, "length"], *, stride: int): ...

    with pytest.raises(ValueError, match=message):
        op(where=[text])(f)
