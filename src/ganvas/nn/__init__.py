"""Network parts: sized by the model that asks for them, free of training code."""
