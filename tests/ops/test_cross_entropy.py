"""Both cross-entropies against SciPy in float64, at the edges, and what they keep in memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

from mapjax.ops import cross_entropy, linear_cross_entropy, softmax_cross_entropy

OPTIONS = dict(label_smoothing=0.2, z_loss=0.1)
KERNELS = ["blocks", "reference"]


def exact(logits, labels, label_smoothing=0.0, z_loss=0.0):
    """Loss and gradient of its sum, in float64."""
    logits = np.asarray(logits, np.float64)
    classes = logits.shape[-1]
    target = (1 - label_smoothing) * np.eye(classes)[labels] + label_smoothing / classes
    lse = logsumexp(logits, -1, keepdims=True)
    terms = target * np.where(target > 0, log_softmax(logits, -1), 0)
    slope = (1 + 2 * z_loss * lse) * softmax(logits, -1) - target
    return -terms.sum(-1) + z_loss * lse[..., 0] ** 2, slope


def drawn(shape=(3, 4, 9), scale=3.0, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    logits = jnp.asarray(scale * rng.standard_normal(shape), dtype)
    return logits, jnp.asarray(rng.integers(0, shape[-1], shape[:-1]))


def value_and_gradient(function, *arrays, **options):
    def total(*floats):
        loss = function(*floats, arrays[-1], **options)
        return jnp.sum(loss), loss

    (_, loss), gradients = jax.jit(jax.value_and_grad(total, range(len(arrays) - 1), has_aux=True))(
        *arrays[:-1]
    )
    return loss, *gradients


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "smoothed"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_equals_scipy(kernel, options):
    logits, labels = drawn()
    function = softmax_cross_entropy.with_kernel(kernel)
    found = value_and_gradient(function, logits, labels, **options)
    for one, other in zip(found, exact(logits, labels, **options), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 4, 5, 8, 9])
def test_blocks_of_rows_cover_all_of_them(monkeypatch, rows):
    monkeypatch.setattr(cross_entropy, "_BLOCK", 40)  # four rows of nine classes
    logits, labels = drawn((rows, 9))
    loss = softmax_cross_entropy.with_kernel("blocks")(logits, labels)
    np.testing.assert_allclose(loss, exact(logits, labels)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_large_and_masked_logits(kernel):
    logits = jnp.asarray(
        [[1e4, 0, -1e4], [-9e3, -9e3, -9e3], [0, -jnp.inf, 0], [1e-40, 0, -1e-40], [3e38, 0, 3e38]]
    )
    labels = jnp.asarray([2, 0, 0, 1, 0])
    found = value_and_gradient(softmax_cross_entropy.with_kernel(kernel), logits, labels)
    for one, other in zip(found, exact(logits, labels), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_is_computed_in_float32(kernel):
    half, labels = drawn(dtype=jnp.bfloat16)
    loss, gradient = value_and_gradient(softmax_cross_entropy.with_kernel(kernel), half, labels)
    expected, slope = exact(half.astype(jnp.float32), labels)
    assert loss.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient.astype(jnp.float32), slope, rtol=2**-8, atol=1e-6)


def test_a_label_that_is_no_class_is_seen():
    loss = softmax_cross_entropy(jnp.zeros((3, 4)), jnp.asarray([-1, 3, 4]))
    np.testing.assert_allclose(loss, [np.nan, np.log(4), np.nan], rtol=1e-6)


def test_narrow_labels_count_further_than_they_reach():
    logits, _ = drawn((2, 300))
    labels = jnp.asarray([3, 44], jnp.uint8)  # 300 classes wrap around in eight bits
    _, gradient = value_and_gradient(softmax_cross_entropy, logits, labels)
    np.testing.assert_allclose(gradient, exact(logits, labels)[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "smoothed"])
@pytest.mark.parametrize("block", [2, 3, 9, 100])
def test_the_linear_form_equals_the_other_on_its_logits(block, options):
    rng = np.random.default_rng(0)
    features, kernel = rng.standard_normal((2, 3, 5)), rng.standard_normal((5, 9))
    labels = rng.integers(0, 9, (2, 3))
    expected, slope = exact(features @ kernel, labels, **options)
    function = functools.partial(linear_cross_entropy, block=block)
    arrays = (jnp.asarray(features, jnp.float32), jnp.asarray(kernel, jnp.float32))
    loss, d_features, d_kernel = value_and_gradient(function, *arrays, labels, **options)
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(d_features, slope @ kernel.T, rtol=1e-4, atol=1e-5)
    wanted = np.einsum("abi,abc->ic", features, slope)
    np.testing.assert_allclose(d_kernel, wanted, rtol=1e-4, atol=1e-5)


def test_the_linear_form_in_bfloat16():
    rng = np.random.default_rng(0)
    features, kernel = (jnp.asarray(rng.standard_normal(s), jnp.bfloat16) for s in ((6, 5), (5, 9)))
    labels = rng.integers(0, 9, 6)
    logits = np.asarray(features, np.float64) @ np.asarray(kernel, np.float64)
    found = value_and_gradient(
        functools.partial(linear_cross_entropy, block=4), features, kernel, labels
    )
    assert [array.dtype for array in found] == [jnp.float32, jnp.bfloat16, jnp.bfloat16]
    np.testing.assert_allclose(found[0], exact(logits, labels)[0], rtol=1e-5, atol=1e-5)


def test_the_logits_are_never_there_as_a_whole():
    rows, classes = 64, 4096
    shapes = [(rows, 8), (8, classes)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    labels = jnp.zeros(rows, jnp.int32)

    def temporary(function):
        loss = lambda *arrays: jnp.sum(function(*arrays, labels))  # noqa: E731
        compiled = jax.jit(jax.grad(loss, (0, 1))).lower(*arrays).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    def plain(features, kernel, labels):
        return softmax_cross_entropy(features @ kernel, labels)

    whole = 4 * rows * classes
    assert temporary(functools.partial(linear_cross_entropy, block=128)) < whole / 2
    assert temporary(plain) > whole / 2


def test_two_numbers_a_row_are_kept_beside_the_inputs():
    logits, labels = drawn((4, 9), dtype=jnp.bfloat16)
    pull_back = jax.eval_shape(lambda x: jax.vjp(softmax_cross_entropy, x, labels)[1], logits)
    kept = {(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(pull_back)}
    assert kept == {((4, 9), "bfloat16"), ((4,), "float32"), ((4,), str(labels.dtype))}
