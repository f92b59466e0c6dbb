"""Autoencoders and VAEs that play a game against a critic."""
