"""Attention in memory that grows with the tokens, not with their pairs."""
