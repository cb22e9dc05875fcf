"""Trained networks: scores, accuracy, predictions, features, exports."""
