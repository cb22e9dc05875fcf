"""What is done with a network: train, score, evaluate."""
