"""What a plan costs before it is run: work of the stages, rates of a machine, and what follows from both."""
