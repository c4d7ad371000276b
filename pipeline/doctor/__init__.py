"""What is wrong with a dataset, for whoever is going to train on it."""
