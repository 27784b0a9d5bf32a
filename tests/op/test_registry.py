"""Kernels: registered by platform, chosen when the program is lowered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from mapjax.op import op


def make():
    @op
    def double(x: Float[Array, "n"], *, shift: float = 0.0) -> Float[Array, "n"]:
        return 2 * x + shift

    return double


def lowered_text(f, *args, platform):
    return jax.jit(f).trace(*args).lower(lowering_platforms=(platform,)).as_text()


def test_the_platform_that_is_lowered_for_decides():
    double = make()

    @double.kernel("tpu")
    def by_sine(x, *, shift):
        return 2 * x + shift + 0 * jnp.sin(x)

    @double.kernel("cuda", "rocm")
    def by_cosine(x, *, shift):
        return 2 * x + shift + 0 * jnp.cos(x)

    def functions(platform):
        text = lowered_text(double, jnp.ones(3), platform=platform)
        return {name for name in ("sine", "cosine") if f"stablehlo.{name} " in text}

    assert functions("tpu") == {"sine"}
    assert functions("cuda") == functions("rocm") == {"cosine"}
    assert functions("cpu") == set()


def test_one_that_names_the_platform_goes_before_one_for_any():
    double = make()
    double.kernel(name="anywhere")(lambda x, *, shift: 2 * x + shift + 10)
    np.testing.assert_array_equal(double(jnp.ones(2)), 12)
    double.kernel("cpu", name="here")(lambda x, *, shift: 2 * x + shift + 20)
    np.testing.assert_array_equal(double(jnp.ones(2)), 22)
    assert [k.name for k in double.kernels] == ["here", "anywhere", "reference"]


def test_one_that_does_not_fit_is_passed_over():
    double = make()

    def odd_only(x, *, shift):
        return None if x.shape[0] % 2 else "n is even"

    @double.kernel("cpu", fits=odd_only)
    def odd(x, *, shift):
        return 2 * x + shift + 1

    np.testing.assert_array_equal(double(jnp.ones(3)), 3)
    np.testing.assert_array_equal(double(jnp.ones(4)), 2)
    assert odd.refusal("cpu", (jnp.ones(4),), {"shift": 0.0}) == "n is even"
    assert odd.refusal("tpu", (jnp.ones(3),), {"shift": 0.0}) == "is for cpu"


def test_kernels_are_callable_by_name():
    double = make()
    double.kernel("tpu", name="other")(lambda x, *, shift: 2 * x + shift + 1)
    np.testing.assert_array_equal(double.kernels["other"](jnp.ones(2), shift=0.5), 3.5)
    np.testing.assert_array_equal(double.kernels["reference"](jnp.ones(2), shift=0.5), 2.5)
    with pytest.raises(KeyError, match="double has no kernel 'mine'; it has reference, other"):
        double.kernels["mine"]
    assert "other (tpu), reference (any platform)" in repr(double)


def test_what_cannot_be_registered():
    double = make()
    with pytest.raises(
        ValueError, match="for 'gpu'; the platforms are cpu, cuda, rocm, tpu; a 'gpu' is"
    ):
        double.kernel("gpu", name="k")(lambda x, *, shift: x)
    with pytest.raises(ValueError, match="double has a kernel 'reference' already"):
        double.kernel(name="reference")(lambda x, *, shift: x)
    with pytest.raises(TypeError, match=r"kernel 'k' is called with \(x, shift=shift\): .*unexp"):
        double.kernel(name="k")(lambda x: x)
    with pytest.raises(TypeError, match=r"fits of kernel 'k' is called with \(x, shift=shift\)"):
        double.kernel(name="k", fits=lambda x: None)(lambda x, *, shift: x)
    with pytest.raises(TypeError, match=r"with parentheses, @double\.kernel\(\)"):
        double.kernel(lambda x, *, shift: x)


def test_fits_says_why_not_in_words():
    double = make()
    double.kernel(name="k", fits=lambda x, *, shift: x.ndim == 1)(lambda x, *, shift: x)
    message = "double: fits of kernel 'k' returned True; expected None where it takes the call"
    for call in (double, double.with_kernel("k"), double.explain):
        with pytest.raises(TypeError, match=message):
            call(jnp.ones(2))


@pytest.mark.parametrize("platforms", [(), ("cpu",)])
@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        (lambda x, *, shift: x.astype(jnp.bfloat16), r"bfloat16\[3\]"),
        (lambda x, *, shift: (x,), r"\(float32\[3\],\)"),
    ],
)
def test_a_result_unlike_that_of_the_reference_names_the_kernel(platforms, kernel, found):
    double = make()
    double.kernel(*platforms, name="odd")(kernel)
    message = rf"double: kernel 'odd' returned {found}; the reference gives float32\[3\]"
    with pytest.raises(TypeError, match=message):
        double(jnp.ones(3))


def test_a_result_of_another_shape_names_the_kernel():
    double = make()
    double.kernel("cpu", name="short")(lambda x, *, shift: x[1:])
    with pytest.raises(TypeError, match=r"double: the result of kernel 'short' has shape \(2,\)"):
        double(jnp.ones(3))


def test_one_that_is_not_automatic_runs_where_it_is_asked_for():
    double = make()
    double.kernel("cpu", name="unmeasured", automatic=False)(lambda x, *, shift: 3 * x + shift)
    np.testing.assert_array_equal(double(jnp.ones(2)), 2)
    np.testing.assert_array_equal(double.with_kernel("unmeasured")(jnp.ones(2)), 3)
    whys = {row["kernel"]: row["why"] for row in double.explain(jnp.ones(2), platform="cpu")}
    assert whys["unmeasured"] == "runs only where it is asked for (mapjax.using)"
