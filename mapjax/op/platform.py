"""The platforms that kernels are for, and the one that this process computes on."""

from typing import Any

import jax

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def platform_of(device: Any) -> str:
    """`cpu`, `cuda`, `rocm` or `tpu`: JAX calls two of them `gpu`."""
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"


def current_platform() -> str:
    device = jax.config.jax_default_device
    return platform_of(device if isinstance(device, jax.Device) else jax.devices()[0])


def require_platforms(platforms: tuple[str, ...], who: str) -> None:
    """Raise `ValueError`, with the list of what there is, for a platform that is none."""
    unknown = [platform for platform in platforms if platform not in PLATFORMS]
    if unknown:
        hint = "; a 'gpu' is 'cuda' (NVIDIA) or 'rocm' (AMD)" if "gpu" in unknown else ""
        raise ValueError(
            f"{who} {', '.join(map(repr, unknown))}; the platforms are {', '.join(PLATFORMS)}{hint}"
        )
