"""Run folders at URLs: a search works in a copy here, and what changes in it is uploaded.

Nothing is uploaded before what it refers to, so a run can be gone on with from its URL at any
instant (``automl_img.mirror.snapshot``).
"""
