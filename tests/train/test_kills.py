"""A run that is killed again and again, at random moments, ends with the weights of a whole one."""

import os
import random
import signal
import subprocess
import sys

import pytest

EVERY = 10  # steps between checkpoints
# Each takes a process of its own. `MAPJAX_KILLS=20 pytest -s` is thorough, and tells of each.
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
step = make_step(objective, optimizer, prepare=prepare)

def run(state, **options):
    batches = map(batch, range(int(state.step), steps))
    end = loop(step, state, batches, key=jax.random.key(0), **options)
    digest = hashlib.sha256()
    for name, leaf in sorted(named_leaves(end).items()):
        digest.update(name.encode() + np.asarray(leaf).tobytes())
    return digest.hexdigest()

checkpoints = Checkpoints(folder)
state = checkpoints.restore(jax.eval_shape(start))
state = jax.device_put(start() if state is None else state)
print("from", int(state.step), flush=True)
resumed = run(
    state,
    on_step=lambda done, metrics, batch: print("step", done, flush=True),
    on_pause=checkpoints.save, pause_every=[every],
)
checkpoints.close()
print("end", resumed, run(start()), flush=True)
"""


def run(folder, compiling, *, steps, kill=lambda lines: False):
    """The lines that a run prints, which is killed when `kill` says so of them."""
    lines = []
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(steps), str(EVERY)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **compiling},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            lines.append(line.split())
            if killed := kill(lines):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == (-signal.SIGKILL if killed else 0)
    return lines


@pytest.mark.breadth
def test_killed_at_random_moments(tmp_path, compiling):
    """Every other time in the middle of writing a checkpoint."""
    rng, steps, reached = random.Random(KILLS), 30 * KILLS + 20, 0

    def writes():
        # Orbax writes into a folder of another name: it is there in the middle of a write only.
        return any("tmp" in path.name for path in tmp_path.iterdir())

    for index in range(KILLS):
        least = rng.randint(2, 30)

        def kill(lines, least=least, anywhere=index % 2):
            return len(lines) >= least and (anywhere or writes())

        (_, first), *said = run(tmp_path, compiling, steps=steps, kill=kill)
        check(int(first), reached)
        reached = int(said[-1][1])
        moment = "in the middle of a write" if writes() else "between two writes"
        print(f"killed at step {reached:>3}, {moment:<24}", end="  ")
    (_, first), *_, (_, resumed, whole) = run(tmp_path, compiling, steps=steps)
    check(int(first), reached)
    assert resumed == whole


def check(first, reached):
    """What was lost: what came after the last pause, and a checkpoint that was being written."""
    if reached:
        print(f"resumed from {first:>3}, {reached - first:>2} steps lost")
    assert first >= reached - 2 * EVERY
