"""`mj.using`: which kernels compute the operations that are called in a block."""

import contextlib
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax

if TYPE_CHECKING:
    from mapjax.op.operation import Operation

Requests = tuple[tuple[str | None, str], ...]  # (operation, or None for all; kernel), last wins

# JAX keys its caches on the value of a user context: a function that was traced outside the block
# is traced again inside, so that neither runs with the other's choice.
_requests = jax.make_user_context(())

_declared: "weakref.WeakSet[Operation]" = weakref.WeakSet()


def declare(operation: "Operation") -> None:
    _declared.add(operation)


def operations() -> list["Operation"]:
    """Every operation that is declared at present, by name."""
    return sorted(_declared, key=lambda operation: (operation.name, operation.__module__))


def requested(operation: str) -> str | None:
    """The kernel that the surrounding blocks ask for, or None."""
    requests: Requests = _requests.value
    for name, kernel in reversed(requests):
        if name is None or name == operation:
            return kernel
    return None


@contextlib.contextmanager
def using(kernel: str | None = None, /, **kernels: str) -> Iterator[None]:
    """Ask for kernels by name, for the calls of a block; the innermost block wins.

    A kernel that is asked for runs, or the call is refused with the reason: it never falls back.
    `"reference"` is plain JAX through and through, derivatives in forward mode included; the
    gradient rule takes no part. A call settles its choice when it is traced, for its gradient too,
    and `jax.jit` keeps a program for each choice. Like every context of JAX, the block holds for
    its thread; in asynchronous code, do not `await` inside it.

    Args:
      kernel: the kernel for every operation that is called in the block.
      kernels: the kernel for single operations, by their names; these go before `kernel`.

    Raises:
      ValueError: at the block, for an operation or kernel that is not declared, with the list of
        what there is; at a call, for a kernel that the operation lacks or that does not fit; when
        a program is lowered, for a kernel of another platform.

    >>> import jax, jax.numpy as jnp, mapjax as mj
    >>> from jaxtyping import Array, Float
    >>> @mj.op
    ... def twice(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    ...     return 2 * x
    >>> double = twice.kernel(name="sum")(lambda x: x + x)
    >>> with mj.using(twice="sum"):
    ...     print(jax.make_jaxpr(twice)(1.0).pretty_print(use_color=False).count("add"))
    1
    """
    added = [(None, kernel)] * (kernel is not None) + list(kernels.items())
    for name, wanted in added:
        _check(name, wanted)
    # What the new requests override is dropped, so that equal choices share JAX's caches.
    outer = (
        [] if kernel is not None else [kept for kept in _requests.value if kept[0] not in kernels]
    )
    with _requests((*outer, *added)):
        yield


def _check(name: str | None, kernel: str) -> None:
    there = operations()
    if name is not None:
        there = [operation for operation in there if operation.name == name]
        if not there:
            names = ", ".join(dict.fromkeys(operation.name for operation in operations()))
            raise ValueError(
                f"using({name}={kernel!r}): no operation {name!r} is declared; there are "
                f"{names or 'none'} (one is declared when its module is imported)"
            )
    if not any(kernel in operation.kernels for operation in there):
        kernels = ", ".join(dict.fromkeys(k.name for o in there for k in o.kernels))
        what = f"{name} has" if name is not None else "any operation has"
        asked = f"{name}={kernel!r}" if name is not None else repr(kernel)
        raise ValueError(
            f"using({asked}): no kernel that {what} is named {kernel!r}; there are "
            f"{kernels or 'none'}"
        )
