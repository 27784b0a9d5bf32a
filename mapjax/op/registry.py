"""Kernels: other ways to compute an operation, by platform."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from mapjax.op.platform import PLATFORMS, require_platforms
from mapjax.op.refusal import refuse


@dataclass(frozen=True)
class Kernel:
    """One implementation: a forward pass, the platforms it is for, and perhaps its own gradient.

    No `platforms`: it runs anywhere. `fits(*arrays, **static)` returns None, or the reason why this
    kernel does not take the call; it is asked while tracing, so arrays have a shape and a dtype
    but no values.

    `saves(*arrays, **static)` returns the results and what the gradient rule needs besides the
    inputs, as that of the operation does. A kernel with a gradient of its own and without `saves`
    computes the gradient from the inputs alone: `gradient(cotangent, *arrays, **static)`.

    `partition`: the compiler cannot split this kernel over the devices of a mesh, as it splits
    plain JAX, and the frame does it: see `mapjax.op.partition`.

    Without `automatic` it runs only where it is asked for, by `mapjax.using` or `with_kernel`: one
    that was not yet measured to be faster than what would run instead.
    """

    operation: str
    name: str
    forward: Callable[..., Any]
    platforms: tuple[str, ...] = ()
    gradient: Callable[..., tuple] | None = None
    fits: Callable[..., str | None] | None = None
    partition: bool = False
    automatic: bool = True
    saves: Callable[..., tuple] | None = None

    def __post_init__(self) -> None:
        require_platforms(self.platforms, f"{self.operation}: kernel {self.name!r} is for")

    def __call__(self, *arrays: Any, **static: Any) -> Any:
        return self.forward(*arrays, **static)

    def refusal(
        self, platform: str | None, arrays: Sequence[Any], static: dict[str, Any]
    ) -> str | None:
        """Why this kernel does not take a call on `platform` (None: one not listed), or None."""
        if self.platforms and platform not in self.platforms:
            return f"is for {', '.join(self.platforms)}"
        return self.misfit(arrays, static)

    def misfit(self, arrays: Sequence[Any], static: dict[str, Any]) -> str | None:
        """Why this kernel does not take these shapes, dtypes and options, or None.

        Raises:
          TypeError: `fits` returned neither, such as a truth value.
        """
        reason = None if self.fits is None else self.fits(*arrays, **static)
        if not (reason is None or isinstance(reason, str)):
            raise TypeError(
                f"{self.operation}: fits of kernel {self.name!r} returned {reason!r}; expected "
                "None where it takes the call, else the reason why not, as a string"
            )
        return reason


@dataclass(frozen=True)
class Choice:
    """What computes one call: an implementation by platform, and one for all other platforms.

    With `refused`, a program cannot be lowered for the other platforms, for that reason.
    """

    default: Kernel
    by_platform: dict[str, Kernel]
    refused: str | None = None

    def run(self, part: Callable[[Kernel], Callable[..., Any]], *arrays: Any) -> Any:
        """Call `part` of the kernel of the platform that the program is lowered for."""
        default = part(self.default)
        others = {p: part(kernel) for p, kernel in self.by_platform.items()}
        if self.refused is not None:
            return jax.lax.platform_dependent(
                *arrays, default=lambda *a: refuse(default(*a), self.refused), **others
            )
        others = {p: function for p, function in others.items() if function is not default}
        if not others:
            return default(*arrays)
        return jax.lax.platform_dependent(*arrays, default=default, **others)


class Registry:
    """The kernels of one operation, in the order in which they are tried.

    One that names platforms comes before one that runs anywhere, then an earlier one before a
    later one, and the reference last.
    """

    def __init__(self, reference: Kernel) -> None:
        self._kernels = {"reference": reference}

    def add(self, kernel: Kernel) -> None:
        if kernel.name in self._kernels:
            raise ValueError(
                f"{kernel.operation} has a kernel {kernel.name!r} already; name this one "
                f"otherwise, or, to replace that one, declare {kernel.operation} again first"
            )
        self._kernels[kernel.name] = kernel

    def __getitem__(self, name: str) -> Kernel:
        if name not in self:
            raise KeyError(self._missing(name))
        return self._kernels[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kernels

    def __iter__(self) -> Iterator[Kernel]:
        rank = lambda k: (k.name == "reference", not k.platforms)  # noqa: E731
        return iter(sorted(self._kernels.values(), key=rank))

    def __len__(self) -> int:
        return len(self._kernels)

    def choose(
        self, arrays: Sequence[Any], static: dict[str, Any], requested: str | None = None
    ) -> Choice:
        """For every platform the first kernel that takes the call, or the one that is requested.

        Raises:
          ValueError: the requested kernel does not exist, or does not take the call.
        """
        if requested is not None:
            return self._choose_requested(requested, arrays, static)

        def first(platform: str | None) -> Kernel:
            automatic = (k for k in self if k.automatic)
            return next(k for k in automatic if k.refusal(platform, arrays, static) is None)

        return Choice(first(None), {platform: first(platform) for platform in PLATFORMS})

    def _choose_requested(self, name: str, arrays: Sequence[Any], static: dict[str, Any]) -> Choice:
        self.require(name)
        kernel = self[name]
        who = f"{kernel.operation}: kernel {name!r} was asked for and"
        reason = kernel.misfit(arrays, static)
        if reason is not None:
            raise ValueError(f"{who} does not take this call: {reason}")
        if not kernel.platforms:
            return Choice(kernel, {})
        platforms = ", ".join(kernel.platforms)
        refused = f"{who} runs on {platforms} only, and this program is for another platform"
        return Choice(self["reference"], dict.fromkeys(kernel.platforms, kernel), refused)

    def require(self, name: str) -> None:
        """Raise `ValueError` with the list of what there is where there is no such kernel."""
        if name not in self:
            raise ValueError(self._missing(name))

    def _missing(self, name: str) -> str:
        operation = self._kernels["reference"].operation
        return f"{operation} has no kernel {name!r}; it has {', '.join(self._kernels)}"
