"""What is measured of a trained model: one class and one `conf/metrics/*.yaml` for each measure."""
