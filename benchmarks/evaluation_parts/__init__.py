"""Parts of `benchmarks/evaluation.py`: each measures our way and a peer's side by side."""
