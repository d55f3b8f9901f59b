"""Where images come from; each file of this folder is one kind of source.

A source has three names:

    WHAT                                          what it takes, as part of a sentence
    accepts(data) -> bool                         whether ``data``, as typed, is of this kind
    listing(data, columns, cache, listener) -> Listing
"""
