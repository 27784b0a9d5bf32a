"""Kernels: other ways to compute an operation, by platform."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


@dataclass(frozen=True)
class Kernel:
    """One implementation: a forward pass, the platforms it is for, and perhaps its own gradient.

    No `platforms`: it runs anywhere. `fits(*arrays, **static)` returns None, or the reason why this
    kernel does not take the call; it is asked while tracing, so arrays have a shape and a dtype
    but no values.
    """

    operation: str
    name: str
    forward: Callable[..., Any]
    platforms: tuple[str, ...] = ()
    gradient: Callable[..., tuple] | None = None
    fits: Callable[..., str | None] | None = None

    def __post_init__(self) -> None:
        unknown = [platform for platform in self.platforms if platform not in PLATFORMS]
        if unknown:
            hint = "; a 'gpu' is 'cuda' (NVIDIA) or 'rocm' (AMD)" if "gpu" in unknown else ""
            raise ValueError(
                f"{self.operation}: kernel {self.name!r} is for {', '.join(map(repr, unknown))}; "
                f"the platforms are {', '.join(PLATFORMS)}, and none named means any{hint}"
            )

    def __call__(self, *arrays: Any, **static: Any) -> Any:
        return self.forward(*arrays, **static)

    def refusal(
        self, platform: str | None, arrays: Sequence[Any], static: dict[str, Any]
    ) -> str | None:
        """Why this kernel does not take a call on `platform` (None: one not listed), or None."""
        if self.platforms and platform not in self.platforms:
            return f"is for {', '.join(self.platforms)}"
        return self.fits(*arrays, **static) if self.fits is not None else None


@dataclass(frozen=True)
class Choice:
    """What computes one call: an implementation by platform, and one for all other platforms."""

    default: Kernel
    by_platform: dict[str, Kernel]

    def run(self, part: Callable[[Kernel], Callable[..., Any]], *arrays: Any) -> Any:
        """Call `part` of the kernel of the platform that the program is lowered for."""
        default = part(self.default)
        others = {p: part(kernel) for p, kernel in self.by_platform.items()}
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
                f"{kernel.operation} has a kernel {kernel.name!r} already; name this one otherwise"
            )
        self._kernels[kernel.name] = kernel

    def __getitem__(self, name: str) -> Kernel:
        if name not in self._kernels:
            operation = self._kernels["reference"].operation
            raise KeyError(f"{operation} has no kernel {name!r}; it has {', '.join(self._kernels)}")
        return self._kernels[name]

    def __iter__(self) -> Iterator[Kernel]:
        rank = lambda k: (k.name == "reference", not k.platforms)  # noqa: E731
        return iter(sorted(self._kernels.values(), key=rank))

    def __len__(self) -> int:
        return len(self._kernels)

    def choose(self, arrays: Sequence[Any], static: dict[str, Any]) -> Choice:
        """For every platform the first kernel that takes the call."""

        def first(platform: str | None) -> Kernel:
            return next(k for k in self if k.refusal(platform, arrays, static) is None)

        return Choice(first(None), {platform: first(platform) for platform in PLATFORMS})
