"""Several processes that work on one model, by `torch.distributed`."""
