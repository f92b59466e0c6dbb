"""What happens beside training: figures, checkpoints, pictures, progress, budgets."""
