"""Refining motion that exists already: any lifter's, ours or a stranger's."""
