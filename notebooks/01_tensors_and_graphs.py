# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/01_tensors_and_graphs.ipynb)
#
# # 1. Tensors and graphs
#
# Everything is a mapping. A picture is one: from a row, a column and a channel to a number. A
# network is one: from pictures to pictures. Its gradient is one again. This lesson takes a mapping
# apart into what a computer has of it: **arrays**, and a **graph** of operations on arrays.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("mapjax") is None:  # on Colab; its own JAX stays as it is
    source = "mapjax[notebooks] @ git+https://github.com/mapjax/mapjax"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import mapjax as mj

print("JAX", jax.__version__, "on", jax.devices()[0].device_kind)

# %% [markdown]
# ## An array is a shape, a dtype and bytes
#
# The numbers of an array lie in one row of bytes. `shape` says how to count through them, `dtype`
# how many bytes a number has and what they mean, and the *strides* how many bytes further the next
# number along each axis is.

# %%
pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # 2 rows, 3 columns, 4 channels
print(mj.describe(pixels))

# %% [markdown]
# A transposed array is the same bytes with other strides: nothing was moved. NumPy shows it; JAX
# has no views, an array of JAX is a value, which is why it can be differentiated and compiled.

# %%
print(mj.describe(pixels.transpose(2, 0, 1)))
print("shares the bytes:", np.shares_memory(pixels, pixels.transpose(2, 0, 1)))

x = jnp.asarray(pixels)
print(mj.describe(x))

# %% [markdown]
# ### What a dtype can hold
#
# bfloat16 has the range of float32 and 8 bits of precision instead of 24: between 1 and 2 there are
# 128 numbers. Networks are trained in it; sums must not be.

# %%
print("1.001 in bfloat16 is", float(jnp.bfloat16(1.001)))

ones = jnp.ones(1000, jnp.bfloat16)
running = jax.lax.scan(lambda total, one: (total + one, total), jnp.bfloat16(0), ones)[1]
exact = jnp.cumsum(ones.astype(jnp.float32))

figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(exact, label="summed in float32")
axis.plot(running.astype(jnp.float32), label="summed in bfloat16")
axis.set(xlabel="numbers added", ylabel="sum", title="A sum in bfloat16 stops at 256")
axis.legend()
plt.show()

# %% [markdown]
# ### Broadcasting
#
# Axes are aligned from the right; an axis of size 1, or a missing one, is repeated. Nothing is
# copied: the repeated axis has stride 0.

# %%
column, row = np.arange(4.0)[:, None], np.arange(3.0)[None, :]
table = np.broadcast_to(column, (4, 3))
print("strides of the repeated column:", table.strides)

figure, axes = plt.subplots(1, 3, figsize=(8, 2.6))
for axis, (title, values) in zip(
    axes,
    {"(4, 1)": column, "(1, 3)": row, "(4, 1) + (1, 3)": column + row}.items(),
    strict=True,
):
    axis.imshow(values, vmin=0, vmax=5)
    axis.set(title=title, xticks=range(values.shape[1]), yticks=range(values.shape[0]))
    axis.set(xlabel="column", ylabel="row")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## A computation is a graph
#
# JAX runs a function once with *tracers*, which have a shape and a dtype and no values, and writes
# down what is done to them. What it writes is the graph: operations, and the arrays between them.


# %%
def dehaze(hazy, transmission, airlight):
    """The veil divided out: hazy = clean * transmission + airlight * (1 - transmission)."""
    return (hazy - airlight) / transmission[..., None] + airlight


hazy = jax.random.uniform(jax.random.key(0), (4, 5, 3))
transmission = jnp.full((4, 5), 0.4)
airlight = jnp.array([0.9, 0.9, 1.0])

print(jax.make_jaxpr(dehaze)(hazy, transmission, airlight))

# %% [markdown]
# For people, `mj.graph` draws it, with what each step costs. Operations of mapjax stay one step,
# whatever is inside of them.

# %%
mj.graph(dehaze, hazy, transmission, airlight)

# %%
model = mj.models.load("rainhaze-s")
photo = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)  # a shape is enough
print(mj.inventory(model, photo))

# %% [markdown]
# ## The gradient is a graph, too
#
# Where does a gradient come from? Each operation has a rule that says, for a small change of its
# result, which change of its inputs would have made it. The chain rule runs the rules from the end
# of the graph to its beginning. Here it is by hand, for one operation:


# %%
def loss(transmission):
    return jnp.sum(dehaze(hazy, transmission, airlight) ** 2)


# restored = (hazy - airlight) / t + airlight,  d restored / d t = -(hazy - airlight) / t^2
restored = dehaze(hazy, transmission, airlight)
cotangent = 2 * restored  # of the loss, with respect to the restored picture
by_hand = jnp.sum(-cotangent * (hazy - airlight) / transmission[..., None] ** 2, axis=-1)

by_jax = jax.grad(loss)(transmission)
print("largest difference:", float(jnp.abs(by_hand - by_jax).max()))

# %% [markdown]
# What JAX wrote down for the gradient is one more graph, and can be differentiated once more:

# %%
mj.graph(jax.grad(loss), transmission)

# %% [markdown]
# ## Compiled, run, exported
#
# `jax.jit` hands the graph to XLA, which fuses operations into few loops over memory. The program
# that comes out is bound to a device; the graph is not, and can be stored and run elsewhere.

# %%
compiled = jax.jit(dehaze).lower(hazy, transmission, airlight).compile()
memory = compiled.memory_analysis()
print("arguments", memory.argument_size_in_bytes, "B, temporaries", memory.temp_size_in_bytes, "B")
print("fusions:", compiled.as_text().count(" fusion("))

# %%
from jax import export

exported = export.export(jax.jit(dehaze), platforms=("cpu", "cuda", "tpu"))(
    hazy, transmission, airlight
)
stored = exported.serialize()
loaded = export.deserialize(stored)
same = np.allclose(loaded.call(hazy, transmission, airlight), restored)
print(f"{len(stored)} bytes, for {', '.join(loaded.platforms)}; gives the same: {same}")

# %% [markdown]
# Next: [an operation of your own](02_your_own_operation.ipynb), with a gradient rule and a kernel.
