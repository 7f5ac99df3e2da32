"""Weights: where they are, how they are stored, fetched, and read from official checkpoints."""
