"""The systems, a file each or a file for those of one library.

A module has ``SYSTEMS``, the ``contest.task.System`` it offers, and where its process is
``contest.start`` also ``train(task)`` and ``predict(task)``, which run in that process. Keras is
imported in there alone: the harness that takes the time stays small.
"""
