"""Speed as ratios: every figure is measured beside its yardstick in the same run, so that it holds on any machine."""
