# %% [markdown]
# # my_op
# Each cell stands alone once the first has run. In Jupyter, open this file as a notebook
# (jupytext) or paste the cells.

# %%
import jax
import jax.numpy as jnp
from my_op import MyOp, my_op

import mapjax as mj

x, gain = jax.random.normal(jax.random.key(0), (256, 128)), jnp.ones(128)
print(my_op.card())

# %% Which kernel runs where, and why no other
print(my_op.explain(x, gain, limit=2.0))

# %% Is it right?
print(mj.check(my_op))

# %% What does it cost?
print(my_op.benchmark(x, gain, limit=2.0, seconds=0.2))

# %% What does a program with it consist of?
layer = MyOp(128, limit=2.0)
loss = jax.grad(lambda x: jnp.sum(layer(x) ** 2))
print(mj.inventory(loss, x))
mj.graph(loss, x)  # drawn in a notebook
