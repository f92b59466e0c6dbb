"""Pictures of what a trained model has learnt: a tool is one class and one `conf/tool/*.yaml`."""
