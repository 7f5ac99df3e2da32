"""Everybody in a clip: found, followed, told apart, and one of them chosen."""
