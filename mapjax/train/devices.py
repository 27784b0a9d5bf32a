"""The devices of a run: a mesh of them, what lies where, and the processes that share them."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from mapjax.train.errors import TrainingError

Tree = TypeVar("Tree")
Step = Callable[..., tuple[Any, Any]]

AXES = ("batch", "height")


def make_mesh(devices: int | None = None, *, spatial: int = 1, batches: Sequence[int] = ()) -> Mesh:
    """A mesh of devices: over one axis batches are split, over the other the rows of pictures.

    Args:
        devices: how many; by default as many as divide all the `batches`.
        spatial: how many of them share a picture, for those too large for one.
        batches: sizes of batches, which the devices along the first axis must divide.

    Raises:
        TrainingError: there are fewer devices, or they do not divide what is to be split.

    Example:
        >>> make_mesh(1).axis_names
        ('batch', 'height')
    """
    there = jax.device_count()
    if devices is None:
        # What divides the batches beside the devices that share a picture.
        fitting = [n for n in range(spatial, there + 1, spatial) if _divides(n // spatial, batches)]
        devices = max(fitting, default=spatial)
    if not 1 <= devices <= there:
        raise TrainingError(f"devices: {devices} are asked for, and JAX has {there}")
    if devices % spatial:
        raise TrainingError(f"spatial: {spatial} devices a picture do not divide {devices=}")
    rows = devices // spatial
    if not _divides(rows, batches):
        raise TrainingError(
            f"batch: {_several(batches)} pictures cannot be split evenly over {rows} devices; "
            "choose a multiple, or other --devices"
        )
    if jax.process_count() > 1:
        _check_processes(devices, spatial)
    chosen = jax.devices()[:devices]
    return jax.make_mesh((rows, spatial), AXES, (AxisType.Auto,) * 2, devices=chosen)


def replicate(mesh: Mesh, tree: Tree) -> Tree:
    """The same arrays, whole on every device."""
    everywhere = NamedSharding(mesh, P())

    def place(leaf: Any) -> jax.Array:
        if not (isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)):
            return jax.device_put(leaf, everywhere)
        # To devices of other processes JAX puts the numbers of a key, and not the key.
        numbers = jax.device_put(jax.random.key_data(leaf), everywhere)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))

    return jax.tree.map(place, tree)


def shard(mesh: Mesh, batch: Tree) -> Tree:
    """A batch, split over the devices: its arrays are batch first, and pictures' rows second.

    In a run of several processes each passes its `share` of the batch.
    """

    def place(array: np.ndarray) -> jax.Array:
        axes = AXES if np.ndim(array) >= 3 else AXES[:1]
        return jax.make_array_from_process_local_data(NamedSharding(mesh, P(*axes)), array)

    return jax.tree.map(place, batch)


def share(batch: int, *, index: int, count: int) -> slice:
    """The samples of a batch that a process brings, of `count` processes.

    >>> share(8, index=1, count=2)
    slice(4, 8, None)
    """
    own = batch // count
    return slice(index * own, (index + 1) * own)


def compiled(step: Step, mesh: Mesh | None = None) -> Step:
    """`step(state, key, batch) -> (state, metrics)`, compiled; the state passed in is donated.

    Over a mesh the state and the metrics stay whole on every device, and XLA splits the work as the
    batch is split, which makes training data parallel.
    """
    if mesh is None or mesh.size == 1:
        return jax.jit(step, donate_argnums=0)
    program = jax.jit(step, donate_argnums=0, out_shardings=NamedSharding(mesh, P()))

    def run(state: Any, key: jax.Array, batch: Any) -> tuple[Any, Any]:
        # Kernels that the compiler cannot split ask for the mesh in force.
        with jax.set_mesh(mesh):
            return program(state, key, batch)

    return run


def is_leader() -> bool:
    """Whether this process is the one that writes files and talks."""
    return jax.process_index() == 0


def agree(flag: bool) -> bool:
    """Whether any process says so; all of them have to ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def from_leader(tree: Tree) -> Tree:
    """What the leader passes, in every process; the others pass arrays of the same shapes."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.broadcast_one_to_all(tree, is_source=is_leader())


def to_host(array: Any) -> np.ndarray:
    """The whole array as a copy in the memory of this process; all processes have to ask."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        if array.is_fully_replicated:
            return np.array(array.addressable_data(0))
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.array(array)


def join_processes(
    coordinator: str | None = None, *, count: int | None = None, index: int | None = None
) -> None:
    """Make this process one of several that train together; before anything uses a device.

    Args:
        coordinator: `HOST:PORT` of process 0; by default JAX asks SLURM, Open MPI, Cloud TPU or
            Kubernetes, whichever started the process, for this and for the other two.
        count: how many processes there are.
        index: which of them this one is, from 0.

    Raises:
        TrainingError: JAX can find out neither from the arguments nor from its surroundings, or the
            other processes do not answer.
    """
    try:
        jax.distributed.initialize(coordinator, count, index)
    except (ValueError, RuntimeError) as error:
        raise TrainingError(
            f"distributed: this process cannot join the others: {error}; where JAX does not find "
            "them by itself, --coordinator HOST:PORT --process-count N --process-index I names them"
        ) from error
    _connect()


def end_without_the_others(status: int) -> NoReturn:
    """End this process, which failed, without a last meeting with those that it trained with.

    At its end a process waits for the others (JAX does), which may wait for this one in a step:
    each would wait for minutes. They end when they notice that it is gone.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _connect() -> None:
    """Open the connections between all devices, while the processes are in step.

    On CPUs it is the first sum over the devices that opens them, within 30 seconds. That of the
    first training step comes too late where one process takes longer to compile it than another.
    """
    everywhere = jax.make_mesh((jax.device_count(),), ("device",))
    one_each = NamedSharding(everywhere, P("device"))
    ones = jax.make_array_from_callback((jax.device_count(),), one_each, lambda index: np.ones(1))
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(everywhere, P()))(ones)
    total.block_until_ready()


def _divides(rows: int, batches: Sequence[int]) -> bool:
    return all(batch % rows == 0 for batch in batches)


def _several(batches: Sequence[int]) -> str:
    return " or ".join(str(batch) for batch in sorted(set(batches)))


def _check_processes(devices: int, spatial: int) -> None:
    """Each process has to bring whole pictures, and as many as any other."""
    if devices != jax.device_count():
        raise TrainingError(
            f"devices: a run of several processes takes all of their {jax.device_count()} devices, "
            f"got {devices}; choose a batch that they divide"
        )
    if jax.local_device_count() % spatial:
        raise TrainingError(
            f"spatial: {spatial} devices a picture do not divide the {jax.local_device_count()} of "
            "a process"
        )
