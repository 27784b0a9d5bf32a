"""A run that is killed again and again, at random moments, ends with the weights of a whole one."""

import os
import random
import signal
import subprocess
import sys

import pytest

EVERY = 10  # steps between checkpoints
# Each takes a process of its own; MAPJAX_KILLS=20 is a thorough test.
KILLS = int(os.environ.get("MAPJAX_KILLS", "1"))

SCRIPT = """
import hashlib, sys
import jax, jax.numpy as jnp, numpy as np, optax
from mapjax.train import Checkpoints, guard, init_state, loop, make_step
from mapjax.train.tree import named_leaves

folder, steps, every = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def objective(params, examples):
    x, y = examples
    return jnp.mean((x @ params["w"] - y) ** 2)

def prepare(key, x):
    return x + 0.1 * jax.random.normal(key, x.shape), x

def batch(step):
    return np.random.default_rng(step).normal(size=(4, 300)).astype(np.float32)

optimizer = guard(optax.adam(0.01))
start = lambda: init_state({"w": jnp.zeros((300, 300))}, optimizer)
checkpoints = Checkpoints(folder)
state = checkpoints.restore(jax.eval_shape(start))
state = jax.device_put(start() if state is None else state)
print("from", int(state.step), flush=True)
state = loop(
    make_step(objective, optimizer, prepare=prepare), state,
    map(batch, range(int(state.step), steps)), key=jax.random.key(0),
    on_step=lambda done, metrics, batch: print("step", done, flush=True),
    on_pause=checkpoints.save, pause_every=[every],
)
checkpoints.close()
digest = hashlib.sha256()
for name, leaf in sorted(named_leaves(state).items()):
    digest.update(name.encode() + np.asarray(leaf).tobytes())
print("end", digest.hexdigest(), flush=True)
"""


def run(folder, steps, compiling, *, kill_after=None):
    """The lines that a run prints, which is killed when it has printed so many of them."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(steps), str(EVERY)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **compiling},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            lines.append(line.split())
            if len(lines) == kill_after:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == (0 if kill_after is None else -signal.SIGKILL)
    return lines


@pytest.mark.breadth
def test_killed_at_random_moments(tmp_path, compiling):
    rng, steps = random.Random(KILLS), 30 * KILLS + 5
    whole = run(tmp_path / "whole", steps, compiling)
    reached = 0
    for _ in range(KILLS):
        (_, first), *said = run(
            tmp_path / "killed", steps, compiling, kill_after=rng.randint(2, 30)
        )
        # What was lost: what came after the last pause, and a checkpoint that was being written.
        assert int(first) >= reached - 2 * EVERY
        reached = int(said[-1][1])
    assert run(tmp_path / "killed", steps, compiling)[-1] == whole[-1]
