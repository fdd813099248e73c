"""What the samples of a profile say: modules, processes, call chains."""
