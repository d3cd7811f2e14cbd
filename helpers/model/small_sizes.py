"""The sizes of a DeepSeek that a laptop trains in minutes, for programs outside the lessons."""

SIZES = {
    "num_layers": 4,
    "d_model": 128,
    "num_heads": 4,
    "d_head": 32,
    "d_latent": 32,
    "d_rope": 16,
    "num_experts": 8,
    "top_k": 2,
    "expert_dim": 128,
    "num_shared": 1,
}
