"""What leaves the run: a model that anyone can load, shown to predict as the trained one does."""
