"""Measures of poses, and scores on clips with truth."""
