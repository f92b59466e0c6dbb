"""LightningModules: two bases (one objective; a game between two sides) and the methods on them."""
