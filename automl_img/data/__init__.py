"""Images in: from what the user names to memory-mapped pixels and batches."""
