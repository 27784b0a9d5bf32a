# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/mapjax/mapjax/blob/main/notebooks/03_attention.ipynb)
#
# # 3. Attention
#
# Most mappings in a network have weights that were learnt and then stay. Attention computes its
# weights from what it is given: each token asks all others, and takes a mean of what those say that
# answer to its question. This lesson goes from the formula to a picture that looks at itself, to
# memory that does not grow with the pairs, and to a transformer that reads digits.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("mapjax") is None:  # on Colab; its own JAX stays as it is
    source = "mapjax[notebooks] @ git+https://github.com/mapjax/mapjax"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)

import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import nnx
from skimage import data, filters
from sklearn.datasets import load_digits

import mapjax as mj

SMOKE = os.environ.get("MAPJAX_SMOKE") == "1"  # a quick run, for tests
print("JAX", jax.__version__, "on", jax.devices()[0].device_kind)


def show(size=2.6, **pictures):
    """Pictures side by side, in grey."""
    figure = plt.figure(figsize=(size * len(pictures), size + 0.3), layout="tight")
    axes = figure.subplots(1, len(pictures))
    for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set(title=title.replace("_", " "), xticks=[], yticks=[])
    plt.show()


# %% [markdown]
# ## The formula
#
# A token i has a **query** `q(i)`, what it looks for; a token j has a **key** `k(j)`, what it can
# be found by, and a **value** `v(j)`, what it tells. How well they fit is a dot product. The
# softmax makes weights of it, positive and with the sum 1:
#
# `result(i) = sum_j softmax_j(q(i) . k(j) / sqrt(d)) v(j)`
#
# It is a look-up in a table, but a soft one: not the value of the best key, but a mean of the
# values of all keys, the better the heavier. So it can be differentiated, and learnt.


# %%
def softmax(logits):
    weights = np.exp(
        logits - logits.max(axis=-1, keepdims=True)
    )  # the largest is exp(0): no overflow
    return weights / weights.sum(axis=-1, keepdims=True)


def plain(q, k, v):
    """Attention of one head: (length, d), (keys, d), (keys, e) to (length, e)."""
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


rng = np.random.default_rng(0)
q, k, v = (rng.standard_normal((50, 16), np.float32) for _ in range(3))
one_head = np.s_[:, None, :]  # mj.ops.attention takes (..., length, heads, d), as jax.nn does
found = mj.ops.attention(q[one_head], k[one_head], v[one_head])[:, 0]
print("largest difference:", np.abs(found - plain(q, k, v)).max())

# %% [markdown]
# ## A picture that looks at itself
#
# Nothing has to be learnt to see what it does. Take a noisy picture of a wall. Each pixel asks:
# *where does it look like here?* Its query is the 5x5 pixels around it, and so is its key; its
# value is the pixel. The mean of the pixels that look alike has less noise, and, unlike a blur, no
# less of the edges. (It is known as the non-local means of Buades, Coll and Morel, 2005.)
#
# Alike is what is near: `exp(-|q(i) - k(j)|^2 / 2h^2)`. Multiplied out, that is attention with a
# **bias**: `q . k / h^2 - |k|^2 / 2h^2`, as `|q|^2` is the same for all keys, and the softmax does
# not see it.

# %%
size, noise = (48 if SMOKE else 128), 0.1
wall = data.brick()[: 2 * size : 2, : 2 * size : 2] / np.float32(255)
noisy = wall + noise * rng.standard_normal(wall.shape, np.float32)

around = np.lib.stride_tricks.sliding_window_view(np.pad(noisy, 2, mode="reflect"), (5, 5))
tokens = around.reshape(-1, 1, 25)  # (length, heads, d)
pixels = noisy.reshape(-1, 1, 1)
h2 = 6 * noise**2
bias = -np.sum(tokens**2, axis=-1).T[:, None] / (2 * h2)  # (heads, 1, keys)


@jax.jit
def look_around(tokens, pixels, bias):
    return mj.ops.attention(tokens, tokens, pixels, bias, scale=1 / h2)


def psnr(picture):
    return -10 * np.log10(np.mean((picture - wall) ** 2))


attended = np.asarray(look_around(tokens, pixels, bias)).reshape(wall.shape)
blurred = max((filters.gaussian(noisy, s) for s in (0.5, 0.7, 0.9, 1.1)), key=psnr)
pictures = {"clean": wall, "noisy": noisy, "best_blur": blurred, "attention": attended}
show(3, **{f"{n}, {psnr(x):.1f} dB" if n != "clean" else n: x for n, x in pictures.items()})

# %% [markdown]
# The weights of three pixels, each marked in red, by the formula. On mortar it is mortar that
# answers, on brick it is brick, from all over the wall:

# %%
places = [(20, 14), (14, 30), (33, 36)] if SMOKE else [(40, 28), (64, 64), (90, 101)]
asking = [row * size + column for row, column in places]
weights = softmax(tokens[asking, 0] @ tokens[:, 0].T / h2 + bias[0])
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="tight")
for axis, (row, column), heavy in zip(axes, places, weights, strict=True):
    heavy = heavy.reshape(wall.shape)
    axis.imshow(heavy, vmax=np.quantile(heavy, 0.998))
    axis.plot(column, row, "o", markersize=12, markeredgecolor="red", markerfacecolor="none")
    axis.set(title=f"who answers ({row}, {column})", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Memory: the pairs are never all there
#
# Every pixel met every other. The weights of all pairs would be a matrix of length x length:

# %%
like = jax.ShapeDtypeStruct((128 * 128, 1, 25), jnp.float32)
for name, attention in {"jax.nn": jax.nn.dot_product_attention, "mapjax": mj.ops.attention}.items():
    memory = jax.jit(attention).lower(like, like, like).compile().memory_analysis()
    print(f"{name}: {memory.temp_size_in_bytes / 2**20:6.1f} MiB beside arguments and results")

# %% [markdown]
# How can a softmax be done without all of its logits? It needs the largest of them, and the sum.
# Both can be carried along, a block of keys at a time: when a larger logit comes, what was summed
# up so far is scaled down to it. That is the **online softmax**:


# %%
def online(q, k, v, block):
    """`plain`, with the logits of one block of keys at a time."""
    largest = np.full((len(q), 1), -np.inf, np.float32)
    total, sums = np.float32(0), np.float32(0)
    for keys, values in zip(
        np.split(k, len(k) // block), np.split(v, len(k) // block), strict=True
    ):
        logits = q @ keys.T / np.sqrt(q.shape[-1])
        new = np.maximum(largest, logits.max(axis=-1, keepdims=True))
        shrink, weights = np.exp(largest - new), np.exp(logits - new)
        total = total * shrink + weights.sum(axis=-1, keepdims=True)
        sums = sums * shrink + weights @ values
        largest = new
    return sums / total


print("largest difference:", np.abs(online(q, k, v, 10) - plain(q, k, v)).max())

# %% [markdown]
# The gradient is the other half. Automatic differentiation would keep the weights of every block,
# and all pairs would be in memory again. The rule of `mj.ops.attention` keeps the result and two
# numbers a query, the largest logit and the sum, from which it computes the weights of any block
# again. More arithmetic, and yet no slower: what is not written need not be read.
#
# Which form runs where, and why:

# %%
many = jax.ShapeDtypeStruct((1, 8192, 4, 64), jnp.float32)
print(mj.ops.attention.explain(many, many, many))

# %% [markdown]
# ### Measured
#
# A forward and a backward pass, 4 heads of 64, beside `jax.nn`. The memory is what the compiler
# sets aside, and needs no run; the time is the best of three. The third curve is a window: each
# query sees 256 tokens, itself and those before it, and blocks of pairs outside are not visited.

# %%
forms = {
    "jax.nn": jax.nn.dot_product_attention,
    "mapjax": mj.ops.attention,
    "mapjax, window of 256": lambda q, k, v: mj.ops.attention(
        q, k, v, causal=True, window=(255, 0)
    ),
}
lengths = (256, 512) if SMOKE else (256, 1024, 4096, 16384)
longest_run = lengths[-1] if SMOKE else 4096  # beyond, all pairs at once take seconds and gigabytes


def both_passes(attention):
    def both(q, k, v, cotangent):
        result, pull = jax.vjp(attention, q, k, v)
        return result, pull(cotangent)

    return jax.jit(both)


memory, seconds = {name: [] for name in forms}, {name: [] for name in forms}
for length in lengths:
    like = jax.ShapeDtypeStruct((1, length, 4, 64), jnp.float32)
    for name, attention in forms.items():
        program = both_passes(attention).lower(like, like, like, like).compile()
        memory[name].append(program.memory_analysis().temp_size_in_bytes / 2**20)
        if length <= longest_run:
            arrays = [jnp.asarray(rng.standard_normal(like.shape, np.float32)) for _ in range(4)]
            took = []
            for _ in range(4):  # the first one is not counted
                start = time.perf_counter()
                jax.block_until_ready(program(*arrays))
                took.append(time.perf_counter() - start)
            seconds[name].append(min(took[1:]))

figure, axes = plt.subplots(1, 2, figsize=(11, 3.6), layout="tight")
for name, line in zip(forms, ("o-", "o-", "s--"), strict=True):
    axes[0].loglog(lengths, memory[name], line, label=name)
    axes[1].loglog(lengths[: len(seconds[name])], seconds[name], line, label=name)
axes[0].set(xlabel="tokens", ylabel="MiB beside arguments and results", title="Memory")
axes[1].set(xlabel="tokens", ylabel="seconds", title="Time")
for axis in axes:
    axis.set_xticks(lengths, [str(length) for length in lengths], minor=False)
    axis.minorticks_off()
    axis.grid(alpha=0.3)
axes[0].legend()
plt.show()
for name in forms:
    print(f"{name:22} {memory[name][-1]:9.1f} MiB at {lengths[-1]} tokens")

# %% [markdown]
# Four times the tokens: sixteen times the memory for all pairs, at most four for blocks. The time
# grows with the pairs in both; only the window, which leaves most of them out, grows with the
# tokens.
#
# ## Who may look at whom
#
# A trick shows the weights of any attention: let the values be unit vectors, and the result of a
# query is its row of weights. Here all queries are zero, so that all logits are alike, and what is
# left is *who may look at whom*.

# %%
n = 32
nothing, unit = np.zeros((n, 1, 8), np.float32), np.eye(n, dtype=np.float32)[:, None]
sentences = np.repeat(np.arange(4), (6, 11, 5, 10)).astype(np.int32)
near = -np.abs(np.arange(n)[:, None] - np.arange(n)[None, :]).astype(np.float32)
patterns = {
    "all": {},
    "causal": dict(causal=True),
    "sliding window": dict(window=(3, 3)),
    "causal window": dict(causal=True, window=(5, 0)),
    "segments": dict(query_segments=sentences),
    "bias by distance": dict(bias=near[None] / 4),
}
figure, axes = plt.subplots(1, 6, figsize=(15, 2.9), layout="tight", sharey=True)
for axis, (name, options) in zip(axes, patterns.items(), strict=True):
    weights = mj.ops.attention(nothing, nothing, unit, **options)[:, 0]
    axis.imshow(np.sqrt(weights), cmap="Blues", vmin=0)  # the root shows small ones, too
    axis.set(title=name, xlabel="key", xticks=[0, n - 1], yticks=[0, n - 1])
axes[0].set(ylabel="query")
plt.show()

# %% [markdown]
# - **causal**: a token sees those before it, as a model must that is to predict the next one;
# - **sliding window**: only neighbours, at a cost that grows with the tokens;
# - **segments**: several sentences in one row, that do not see each other;
# - **bias**: added to the logits, here to favour what is near.
#
# Pictures have windows of two dimensions. `mj.ops.window_attention` lets each pixel look at its 8x8
# window. Layers take turns with a **shift** of half a window, so that after two of them a pixel has
# heard from beyond its window (that is the Swin transformer). In blue: the pixels that the red ones
# hear from.

# %%
side = 24
blank = np.zeros((side, side, 1, 4), np.float32)
unit = np.eye(side * side, dtype=np.float32).reshape(side, side, 1, -1)
straight = mj.ops.window_attention(blank, blank, unit, window=(8, 8))
shifted = mj.ops.window_attention(blank, blank, unit, window=(8, 8), shift=(4, 4))
after_both = mj.ops.window_attention(blank, blank, straight, window=(8, 8), shift=(4, 4))

red = np.array([(3, 4), (11, 13), (21, 6)])
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.4), layout="tight")
for axis, (title, weights) in zip(
    axes,
    {"windows": straight, "shifted": shifted, "one after the other": after_both}.items(),
    strict=True,
):
    heard = np.asarray(weights)[red[:, 0], red[:, 1], 0].reshape(3, side, side)
    axis.imshow(np.sqrt(heard.sum(axis=0)), cmap="Blues", vmin=0)
    axis.plot(red[:, 1], red[:, 0], "s", color="red", markersize=4)
    axis.set(title=title, xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## The transformer
#
# Attention lets tokens talk; a perceptron lets each of them think. A transformer is the two in
# turn, each added to what was there. `mj.models.VisionTransformer` cuts a picture into patches,
# adds to each patch what it learnt of the patch's **position** (attention itself does not know any
# order: it is a sum), and takes the mean of the tokens in the end.
#
# On scikit-learn's digits, 8x8 pixels, a patch is 2x2: 16 tokens. There are only 1400 digits to
# learn from, which a transformer soon knows by heart. So each time it sees one, there is noise on
# it.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
images = (digits.images[order, :, :, None] / 16).astype(np.float32)
labels = digits.target[order].astype(np.int32)
test, train = slice(397), slice(397, None)

sizes = dict(patch=2, channels=1, features=32, depth=2, num_heads=4, mlp_features=64)
model = mj.models.VisionTransformer(10, (8, 8), **sizes, rngs=nnx.Rngs(0))
steps = 20 if SMOKE else 1000
schedule = optax.warmup_cosine_decay_schedule(0.0, 1e-2, steps // 10, steps)
optimizer = nnx.Optimizer(model, optax.adamw(schedule, weight_decay=1e-2), wrt=nnx.Param)


@nnx.jit
def step(model, optimizer, key):
    choice, grain = jax.random.split(key)
    chosen = jax.random.randint(choice, (64,), 0, len(labels[train]))
    seen = jnp.asarray(images[train])[chosen]
    seen += 0.2 * jax.random.normal(grain, seen.shape)

    def loss(model):
        return mj.ops.softmax_cross_entropy(model(seen), jnp.asarray(labels[train])[chosen]).mean()

    value, gradient = nnx.value_and_grad(loss)(model)
    optimizer.update(model, gradient)
    return value


losses = [step(model, optimizer, key) for key in jax.random.split(jax.random.key(1), steps)]
read = nnx.jit(lambda model, images: model(images))(model, images[test]).argmax(axis=-1)
print(f"{100 * np.mean(read == labels[test]):.1f} % of the test digits are read right")

figure, axis = plt.subplots(figsize=(6, 3))
axis.semilogy(np.convolve(losses, np.ones(10) / 10, "valid"))
axis.set(xlabel="step", ylabel="cross-entropy, mean of 10", title="Training")
plt.show()

# %% [markdown]
# ### What it looks at
#
# The same trick as before, inside the model: queries and keys of its own, and unit vectors as
# values. Each row is a digit; in red the patch that asks, and in brightness how much each head of
# the first block listens to each patch. Some heads listen to one place always, others to what is
# there.


# %%
@nnx.jit
def listened(model, images):
    """The weights of the first block: (picture, query, head, key)."""
    patches = model.embed(mj.nn.space_to_depth(images, model.patch))
    tokens = patches.reshape(len(images), -1, patches.shape[-1]) + model.positions[...]
    block = model.blocks.layers[0]
    tokens = block.attention_norm(tokens)
    q, k = block.attention.query(tokens), block.attention.key(tokens)
    unit = jnp.eye(k.shape[1])[None, :, None, :]
    return mj.ops.attention(q, k, jnp.broadcast_to(unit, (*k.shape[:3], k.shape[1])))


shown = [int(np.flatnonzero(labels[test] == digit)[0]) for digit in (0, 3, 6)]
asks = (1, 2)  # row and column of the patch
weights = np.asarray(listened(model, images[shown]))[:, 4 * asks[0] + asks[1]]
figure, axes = plt.subplots(3, 5, figsize=(8, 5), layout="tight")
for head in range(4):
    axes[0, head + 1].set(title=f"head {head}")
for row, index, heads in zip(axes, shown, weights, strict=True):
    row[0].imshow(images[index, ..., 0], cmap="gray", extent=(0, 4, 4, 0))
    row[0].add_patch(plt.Rectangle(asks[::-1], 1, 1, edgecolor="red", fill=False, linewidth=2))
    for axis, heard in zip(row[1:], heads, strict=True):
        axis.imshow(heard.reshape(4, 4), vmin=0, extent=(0, 4, 4, 0))
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.show()

# %%
print(mj.inventory(model, images[:1]))

# %% [markdown]
# Next: [networks](04_networks.ipynb), from the perceptron to the convolutional network.
