"""Sections of the report: a file with ``ORDER`` and ``build(card)`` is a section of that name."""
