"""From a composed config to a checked, trained, recorded and evaluated run."""
