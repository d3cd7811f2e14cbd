"""Published configurations: their parameters in all and per token, and what training cost.

The tags of the sources: V2p is arXiv 2405.04434, V3p is arXiv 2412.19437 (version 1); both are
DeepSeek's.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GroupedQueryAttention:
    """Attention in which `heads / kv_heads` heads share a key and a value (arXiv 2305.13245)."""

    heads: int
    kv_heads: int
    d_head: int

    def parameters(self, d_model: int) -> int:
        query_and_output = 2 * d_model * self.heads * self.d_head
        return query_and_output + 2 * d_model * self.kv_heads * self.d_head


@dataclass(frozen=True)
class LatentAttention:
    """DeepSeek's attention, which caches a latent and one rotary key (V2p, section 2.1).

    `q_latent` is None where the queries are not compressed; each latent has an RMSNorm.
    """

    heads: int
    d_head: int
    d_rope: int
    d_value: int
    d_latent: int
    q_latent: int | None

    def parameters(self, d_model: int) -> int:
        d_query = self.heads * (self.d_head + self.d_rope)
        query = d_model * d_query
        if self.q_latent is not None:
            query = d_model * self.q_latent + self.q_latent + self.q_latent * d_query
        down = d_model * (self.d_latent + self.d_rope) + self.d_latent
        up = self.d_latent * self.heads * (self.d_head + self.d_value)
        output = self.heads * self.d_value * d_model
        return query + down + up + output


@dataclass(frozen=True)
class Experts:
    """The experts of one layer; each is a SwiGLU of width `expert_dim`."""

    routed: int
    shared: int
    top_k: int
    expert_dim: int


@dataclass(frozen=True)
class PublishedModel:
    """A decoder as published: its first `dense_layers` layers have no experts."""

    name: str
    layers: int
    d_model: int
    vocab_size: int
    attention: GroupedQueryAttention | LatentAttention
    dense_layers: int
    dense_dim: int
    experts: Experts | None
    source: str


LLAMA_2_70B = PublishedModel(
    "LLaMA-2-70B",
    layers=80,
    d_model=8192,
    vocab_size=32_000,
    attention=GroupedQueryAttention(heads=64, kv_heads=8, d_head=128),
    dense_layers=80,
    dense_dim=28_672,
    experts=None,
    source="config.json of Llama-2-70b-hf",
)
MIXTRAL_8X7B = PublishedModel(
    "Mixtral-8x7B",
    layers=32,
    d_model=4096,
    vocab_size=32_000,
    attention=GroupedQueryAttention(heads=32, kv_heads=8, d_head=128),
    dense_layers=0,
    dense_dim=0,
    experts=Experts(routed=8, shared=0, top_k=2, expert_dim=14_336),
    source="arXiv 2401.04088, table 1; the defaults of transformers' MixtralConfig",
)
V2_LITE = PublishedModel(
    "DeepSeek-V2-Lite",
    layers=27,
    d_model=2048,
    vocab_size=102_400,
    attention=LatentAttention(16, d_head=128, d_rope=64, d_value=128, d_latent=512, q_latent=None),
    dense_layers=1,
    dense_dim=10_944,
    experts=Experts(routed=64, shared=2, top_k=6, expert_dim=1408),
    source="V2p, appendix B, p. 29; DeepSeek-V3's inference/configs/config_16B.json",
)
V2 = PublishedModel(
    "DeepSeek-V2",
    layers=60,
    d_model=5120,
    vocab_size=102_400,
    attention=LatentAttention(128, d_head=128, d_rope=64, d_value=128, d_latent=512, q_latent=1536),
    dense_layers=1,
    dense_dim=12_288,
    experts=Experts(routed=160, shared=2, top_k=6, expert_dim=1536),
    source="V2p, p. 12; DeepSeek-V3's inference/configs/config_236B.json",
)
V3 = PublishedModel(
    "DeepSeek-V3",
    layers=61,
    d_model=7168,
    vocab_size=129_280,
    attention=LatentAttention(128, d_head=128, d_rope=64, d_value=128, d_latent=512, q_latent=1536),
    dense_layers=3,
    dense_dim=18_432,
    experts=Experts(routed=256, shared=1, top_k=8, expert_dim=2048),
    source="V3p, p. 22; DeepSeek-V3's inference/configs/config_671B.json",
)
MODELS = (LLAMA_2_70B, MIXTRAL_8X7B, V2_LITE, V2, V3)


def total_parameters(model: PublishedModel) -> int:
    """Every trained number of the model; embedding and output head both count.

    V3's balancing biases, 256 in each of 58 layers, are not trained by gradients and not counted
    (transformers holds them in a buffer), nor is its layer for multi-token prediction.
    """
    routed = model.experts.routed if model.experts else 0
    return _parameters(model, routed)


def active_parameters(model: PublishedModel) -> int:
    """The parameters that one token uses: of the routed experts only its `top_k`.

    The whole input embedding counts, although a token reads only one row of it.
    """
    chosen = model.experts.top_k if model.experts else 0
    return _parameters(model, chosen)


def embedding_parameters(model: PublishedModel) -> int:
    """The parameters of the input embedding, for counts that leave it out."""
    return model.vocab_size * model.d_model


def _parameters(model: PublishedModel, experts_counted: int) -> int:
    """The model's parameters, with `experts_counted` routed experts per layer that has experts."""
    norms = 2 * model.d_model
    layers = model.layers * (model.attention.parameters(model.d_model) + norms)
    dense = model.dense_layers * _swiglu(model.d_model, model.dense_dim)
    sparse = 0
    if model.experts:
        used = experts_counted + model.experts.shared
        router = model.d_model * model.experts.routed
        one_layer = used * _swiglu(model.d_model, model.experts.expert_dim) + router
        sparse = (model.layers - model.dense_layers) * one_layer
    embedding_and_head = 2 * embedding_parameters(model)
    return embedding_and_head + layers + dense + sparse + model.d_model  # and the last norm


def _swiglu(d_model: int, width: int) -> int:
    return 3 * d_model * width


@dataclass(frozen=True)
class TrainingCost:
    """The GPU-hours of one training run, as published; `excludes` says what they leave out."""

    name: str
    gpu: str
    gpu_hours: int
    excludes: str
    source: str

    def dollars(self, dollars_per_gpu_hour: int | float = 2) -> int | float:
        """The price of these hours; 2 dollars is what V3p assumes for an H800."""
        if not dollars_per_gpu_hour > 0:
            raise ValueError(f"dollars_per_gpu_hour must be above 0, got {dollars_per_gpu_hour}")
        return self.gpu_hours * dollars_per_gpu_hour


V3_STAGES = {"pre-training": 2_664_000, "context extension": 119_000, "post-training": 5_000}
TRAINING_COSTS = (
    TrainingCost(
        "DeepSeek-V3",
        "H800",
        sum(V3_STAGES.values()),
        "earlier research and ablations on architectures, algorithms and data",
        "V3p, table 1, p. 5",
    ),
    TrainingCost(
        "Llama-3.1-405B",
        "H100",
        30_840_000,
        "the card does not say",
        "Llama 3.1 model card (meta-llama/llama-models, models/llama3_1/MODEL_CARD.md)",
    ),
)


@dataclass(frozen=True)
class Benchmark:
    """The scores of two models in one published table, in percent; higher is better."""

    name: str
    deepseek_v3: float
    gpt_4o_0513: float
    source: str


_README = "table of DeepSeek's own measurements in the README of deepseek-ai/DeepSeek-V3"
BENCHMARKS = (
    Benchmark("MMLU", 88.5, 87.2, _README),
    Benchmark("SimpleQA", 24.9, 38.2, _README),
)
