"""The platform that this process computes on, by the name that kernels are registered for."""

from typing import Any

import jax


def platform_of(device: Any) -> str:
    """`cpu`, `cuda`, `rocm` or `tpu`: JAX calls two of them `gpu`."""
    if device.platform != "gpu":
        return device.platform
    return "rocm" if "rocm" in device.client.platform_version.lower() else "cuda"


def current_platform() -> str:
    device = jax.config.jax_default_device
    return platform_of(device if isinstance(device, jax.Device) else jax.devices()[0])
