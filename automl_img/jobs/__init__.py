"""Searches as jobs of a Ray cluster, sent from a machine that is none of its nodes.

Here: ``address`` and ``client`` speak to the head, ``package`` and ``command`` make what is sent,
``log`` follows a job, ``fetch`` brings its run. On the head: ``start`` begins what was sent,
``pack`` gives a run away.
"""
