"""Searches that train nothing: recorded or made-up learning curves, and our real search code."""
