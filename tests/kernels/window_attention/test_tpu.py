"""The TPU kernels: interpreted, against the reference; compiled, where a compiler is installed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from jax.experimental.pallas import tpu as pltpu

import mapjax as mj
from mapjax.ops import window_attention
from mapjax.targets import missing
from mapjax_kernels.window_attention import tpu


def draw(size, heads, head_dim, window, dtype=jnp.float32):
    """A cotangent, queries, keys, values, and a bias."""
    rng = np.random.default_rng(0)
    arrays = (jnp.asarray(rng.standard_normal((*size, heads, head_dim)), dtype) for _ in range(4))
    table = rng.standard_normal((2 * window[0] - 1, 2 * window[1] - 1, heads))
    return *arrays, jnp.asarray(table, jnp.float32)


def compute(cotangent, *arrays, **options):
    """The kernels' value and cotangents."""
    run = lambda *arrays: (  # noqa: E731
        tpu.forward(*arrays, **options),
        *tpu.gradient(cotangent, *arrays, **options),
    )
    return jax.jit(run)(*arrays)


def expect(cotangent, *arrays, **options):
    """Of the same numbers in float32."""

    def run(cotangent, arrays):
        reference = functools.partial(window_attention.reference, **options)
        value, pull = jax.vjp(reference, *arrays)
        return value, *pull(cotangent)

    exact = jax.tree.map(lambda array: array.astype(jnp.float32), (cotangent, arrays))
    return jax.jit(run)(*exact)


@pytest.mark.parametrize(
    "size, heads, head_dim, window, shift, dtype",
    [
        # Two groups of heads, the second not full; two pictures; windows as wide as a register.
        ((2, 2, 8), 3, 64, (1, 8), (0, 0), jnp.float32),
        # Windows over the edges, three in a row, and narrower than a register.
        ((4, 6), 2, 64, (2, 3), (1, 2), jnp.bfloat16),
    ],
)
def test_equals_the_reference(size, heads, head_dim, window, shift, dtype):
    arrays = draw(size, heads, head_dim, window, dtype)
    options = dict(window=window, shift=shift, scale=0.1)
    results = compute(*arrays, **options, interpret=True)
    expected = expect(*arrays, **options)
    for found, exact, like in zip(results, expected, (arrays[0], *arrays[1:]), strict=True):
        assert found.dtype == like.dtype
        error = np.max(np.abs(np.asarray(found, np.float32) - exact))
        assert error <= np.max(np.abs(exact)) * (1e-5 if dtype == jnp.float32 else 2**-7)


def test_no_race_and_no_memory_read_that_was_not_written():
    """Interpreted as the hardware works: copies in flight, several cores, memory full of NaN."""
    params = pltpu.InterpretParams(detect_races=True, uninitialized_memory="nan")
    options = dict(window=(2, 4), shift=(1, 3), scale=None)
    arrays = draw((4, 4), 1, 64, options["window"])
    found = compute(*arrays, **options, interpret=params)
    for array, expected in zip(found, expect(*arrays, **options), strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)


def test_large_logits():
    q, k, v, *_ = (1e4 * array for array in draw((1, 8), 1, 128, (1, 8)))
    options = dict(window=(1, 8), shift=(0, 0), scale=None)
    forward = functools.partial(tpu.forward, bias=None, **options, interpret=True)
    expected = jax.jit(functools.partial(window_attention.reference, **options))(q, k, v)
    found = jax.jit(forward)(q, k, v)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(dtype=jnp.float16), "all in bfloat16, not float16"),
        (dict(batch=0), "no empty picture or batch"),
        (dict(head_dim=24), "a divisor of 128, not of 24 in q and 24 in v"),
        (dict(window=(8, 9)), "at most 64 pixels, where a row of one counts as 16, not 128"),
        (dict(width=8 * 2000), "does not fit into the fast memory"),
    ],
)
def test_says_what_does_not_fit(change, reason):
    settings = dict(dtype=jnp.float32, batch=1, width=72, head_dim=32, window=(8, 8)) | change
    shape = settings["batch"], 16, settings["width"], 2, settings["head_dim"]
    q = jax.ShapeDtypeStruct(shape, settings["dtype"])
    options = dict(window=settings["window"], shift=(0, 0))
    assert reason in tpu.fits(q, q, q, None, **options, scale=None)
    assert reason in window_attention.explain(q, q, q, platform="tpu", **options).to_json()


def test_is_what_a_tpu_gets():
    """With vmap, and differentiated; each lowers to kernels and not to the plain form."""
    _, q, k, v, bias = draw((2, 8, 16), 2, 32, (4, 8))
    options = dict(window=(4, 8), shift=(2, 0))
    loss = lambda *arrays: window_attention(*arrays, **options).sum()  # noqa: E731
    mapped = jax.vmap(jax.grad(loss, argnums=(0, 1, 2, 3)), in_axes=(0, 0, 0, None))
    arrays = (q[None], k[None], v[None], bias)
    text = export.export(jax.jit(mapped), platforms=["tpu"])(*arrays).mlir_module()
    assert text.count("tpu_custom_call") == 1  # nothing needs the value


@pytest.mark.parametrize("target", ["tpu:v5e", "tpu:v6e"])
def test_compiles(target):
    """Of the windows that Swin transformers have. What is spilled in a turn is few registers."""
    if reason := missing(target):
        pytest.skip(reason)
    array = jax.ShapeDtypeStruct((1, 16, 32, 3, 32), jnp.bfloat16)
    bias = jax.ShapeDtypeStruct((15, 15, 3), jnp.float32)
    options = dict(window=(8, 8), shift=(4, 4), scale=None)
    compute = lambda c, *arrays: (  # noqa: E731
        tpu.forward(*arrays, **options),
        tpu.gradient(c, *arrays, **options),
    )
    report = mj.compile_for(target, compute, *[array] * 4, bias)
    kernels = [kernel for kernel in report.kernels if kernel.kind == "pallas"]
    assert len(kernels) == 2
    for kernel in kernels:
        assert kernel.schedule is not None
        assert kernel.schedule.spills <= kernel.schedule.bundles // 20
