"""What is chosen on each platform, and why nothing else."""

import inspect
import json

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

import mapjax as mj


@pytest.fixture
def scale():
    @mj.op(where=["n > 1"])
    def scale(x: Float[Array, "*batch n"], *, by: float = 2.0) -> Float[Array, "*batch n"]:
        """Numbers times a number.

            scale(x) = by * x

        Args:
          x: the numbers.

        Source: Euclid, Elements,
        book V.
        """
        return by * x

    scale.gradient(lambda cotangent, x, *, by: (by * cotangent,))
    even = lambda x, *, by: "n is odd" if x.shape[-1] % 2 else None  # noqa: E731
    own = lambda cotangent, x, *, by: (by * cotangent,)  # noqa: E731
    scale.kernel("tpu", "cuda", name="tiled", fits=even, gradient=own)(lambda x, *, by: x * by)
    scale.kernel(name="plain")(lambda x, *, by: x * by)
    return scale


def found(table):
    return {(row["platform"], row["kernel"]): (row["chosen"], row["why"]) for row in table}


def test_every_kernel_on_every_platform(scale):
    table = found(scale.explain(jnp.ones((3, 4)), by=3.0))
    assert table["tpu", "tiled"] == (True, "the first that takes the call")
    assert table["tpu", "plain"] == (False, "comes after tiled")
    assert table["cpu", "tiled"] == (False, "is for tpu, cuda")
    assert table["cpu", "plain"] == (True, "the first that takes the call")
    assert table["rocm", "reference"] == (False, "comes after plain")
    assert len(table) == 4 * 3
    odd = found(scale.explain(jnp.ones((3, 5))))
    assert odd["tpu", "tiled"] == (False, "n is odd")
    assert odd["tpu", "plain"] == (True, "the first that takes the call")


def test_shapes_may_be_given_by_name(scale):
    shape = jax.ShapeDtypeStruct((3, 4), jnp.float32)
    assert found(scale.explain(x=shape, by=3.0)) == found(scale.explain(shape, by=3.0))


def test_what_is_asked_for(scale):
    with mj.using(scale="tiled"):
        table = found(scale.explain(jnp.ones((3, 4))))
    assert table["cuda", "tiled"] == (True, "asked for by mapjax.using")
    assert table["cuda", "plain"] == (False, "tiled was asked for by mapjax.using")
    assert table["cpu", "none"] == (True, "lowering for this platform is refused")


def test_the_choice_is_the_one_that_runs(scale):
    """The table against the program: kernels that give themselves away."""
    scale.kernel("cpu", name="here")(lambda x, *, by: by * x + 1)
    (chosen,) = (row for row in scale.explain(jnp.ones(4), platform="cpu") if row["chosen"])
    assert chosen["kernel"] == "here"
    assert scale(jnp.ones(4))[0] == 3


def test_shapes_without_values_and_one_platform(scale):
    table = scale.explain(jax.ShapeDtypeStruct((2, 6), jnp.float32), platform="tpu")
    assert [row["platform"] for row in table] == ["tpu"] * 3
    assert "batch=(2,), n=6 (from 'x')" in table.notes[0]
    assert [row["gradient"] for row in table] == ["its own", "the rule", "the rule"]
    assert json.loads(table.to_json())["rows"][0]["kernel"] == "tiled"
    assert "<td" in table._repr_html_()


def test_what_a_call_would_refuse_is_refused(scale):
    with pytest.raises(ValueError, match="scale requires n > 1"):
        scale.explain(jnp.ones(1))
    with pytest.raises(
        ValueError, match="no platform is named 'gpu'; the platforms are cpu, .* a 'gpu' is 'cuda'"
    ):
        scale.explain(jnp.ones(4), platform="gpu")


def test_card(scale):
    card = scale.card()
    text = str(card)
    assert text.startswith("scale(x, *, by=2.0)\n===")
    assert "    scale(x) = by * x" in text
    assert "the numbers." not in card.meaning
    assert card.source == "Source: Euclid, Elements, book V."
    assert "requires n > 1" in text
    assert "tiled      tpu, cuda" in text
    assert 'mapjax.using(scale="reference")' in text
    assert "&#x27;*batch n&#x27;" in card._repr_html_() == scale._repr_html_()
    scale.benchmark(jnp.ones((2, 4)), seconds=0.0)
    assert "scale: speed" in str(scale.card())
    titles = [table["title"] for table in json.loads(scale.card().to_json())["tables"]]
    assert titles[-1] == "scale: speed"


def test_card_names_what_has_no_gradient():
    @mj.op(nondiff=("mask",))
    def masked(x: Float[Array, "n"], mask: Float[Array, "n"]) -> Float[Array, "n"]:
        return x * mask

    roles = {row["name"]: row["role"] for row in masked.card().tables[0]}
    assert roles == {"x": "array", "mask": "array, no gradient", "result": "result"}


@pytest.mark.parametrize(("option", "method"), [("platform", "explain"), ("seconds", "benchmark")])
def test_an_option_is_not_taken_for_an_argument_of_these_methods(option, method):
    def delay(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x

    of_delay = inspect.signature(delay)
    named = inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=float)
    delay.__signature__ = of_delay.replace(parameters=[*of_delay.parameters.values(), named])
    with pytest.raises(ValueError, match=rf"delay: the option '{option}' .* delay\.{method}\("):
        mj.op(delay)


def test_card_of_plain_jax():
    @mj.op
    def half(x: Float[Array, "n"]) -> Float[Array, "n"]:
        return x / 2

    assert "reverse and forward, of any order" in str(half.card())
