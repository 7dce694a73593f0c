"""What runs have left below an output path: a look at their directories, for people and programs. Knows no engine."""
