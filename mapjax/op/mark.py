"""Operations made recognisable in a program that is traced to be looked at.

Inside `jax.jit` an operation leaves no trace of its frame. To show a program with its operations,
it is traced once more, and each call is then wrapped in a function that is named by a label.
"""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import JaxprEqn

_PREFIX = "mapjax.op "

# A part of the key of JAX's caches: what was traced to run is not what is traced to be shown.
_marking = jax.make_user_context(False)


@dataclass(frozen=True)
class Label:
    """An operation in a program: its name, the kernel by platform and for all others, its options.

    `default` is None where the call is refused on other platforms. `results` are the shapes of one
    call, to which `vmap` adds dimensions.
    """

    operation: str
    kernels: dict[str, str]
    default: str | None
    options: dict[str, str]
    results: list[list[int]]

    def kernel(self, platform: str) -> str | None:
        return self.kernels.get(platform, self.default)

    def is_whole(self, equation: JaxprEqn) -> bool:
        """Whether an equation of the forward pass gives the results, and is no fragment of it."""
        given = [Counter(variable.aval.shape) for variable in equation.outvars]
        wanted = [Counter(shape) for shape in self.results]
        return len(given) >= len(wanted) and all(map(Counter.__ge__, given, wanted))


def marking() -> bool:
    return _marking.value


@contextlib.contextmanager
def marks() -> Iterator[None]:
    """Operations that are traced in this block carry their labels."""
    with _marking(True):
        yield


def marked(call: Callable[..., Any], label: Label) -> Callable[..., Any]:
    def whole(*arrays: jax.Array) -> Any:
        return call(*arrays)

    whole.__name__ = _PREFIX + json.dumps(dataclasses.asdict(label))
    return jax.jit(whole)


def label_of(equation: JaxprEqn) -> Label | None:
    """The label of an equation that is an operation, or a part of its derivative."""
    name = str(equation.params.get("name", ""))
    return Label(**json.loads(name.removeprefix(_PREFIX))) if name.startswith(_PREFIX) else None
