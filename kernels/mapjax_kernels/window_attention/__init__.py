"""Attention inside the windows of a picture."""
