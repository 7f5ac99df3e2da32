"""Readers of the licensed data sets that papers report on. The data never come with posecli; their owners give them."""
