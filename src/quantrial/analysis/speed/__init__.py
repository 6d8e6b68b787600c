"""How fast arms are: by the timings of their answers, and by the speed phase."""
