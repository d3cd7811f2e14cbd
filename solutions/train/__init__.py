"""Training on as many processes as there are: `torchrun --nproc-per-node N -m solutions.train`."""
