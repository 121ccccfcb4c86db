"""Many runs: which, in what order, by how many processes, on Slurm."""
