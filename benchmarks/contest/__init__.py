"""The parts of ``benchmarks/versus.py``: its tracks, its systems, its cells, its table.

A cell is one system on one track with one seed. ``systems`` has a file for each system, which says
how its process is started and how what it left on the disk predicts.
"""
