"""Kernels of mapjax: each depends on jax alone."""
