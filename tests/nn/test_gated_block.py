import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mapjax.nn import GatedBlock


def pull_back(remat):
    block = GatedBlock(8, remat=remat, rngs=nnx.Rngs(0))
    graph, params = nnx.split(block)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 8)), jnp.float32)
    return jax.vjp(lambda params, x: nnx.merge(graph, params)(x), params, x)


def test_remat_keeps_less_and_has_the_same_gradient():
    (kept, kept_back), (again, again_back) = pull_back(False), pull_back(True)
    chex.assert_trees_all_close(kept, again, rtol=1e-5, atol=1e-6)
    cotangent = jnp.ones_like(kept)
    chex.assert_trees_all_close(kept_back(cotangent), again_back(cotangent), rtol=1e-5, atol=1e-6)
    kept_bytes, again_bytes = (
        sum(leaf.nbytes for leaf in jax.tree.leaves(back)) for back in (kept_back, again_back)
    )
    assert again_bytes < 0.5 * kept_bytes
