"""Metrics of samples: pure functions and torchmetrics over images or their features."""
