"""What is built: backbones, heads, augmentation and optimizers, each with its hyperparameters.

Keras is imported inside functions, so that reading the hyperparameters (``automl-img spaces``)
does not cost its seconds.
"""
