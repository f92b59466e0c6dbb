"""Objectives: pure functions of tensors, one value per sample, reduced once by the caller."""
