"""Deraining and dehazing in one pass: forward and gradient, an implementation a file."""
