"""One trial: from what to train to what each epoch gave."""
