"""Exercise cells as a learner leaves them: a right router that asks for `normalised`, a stub."""

ROUTER = """
class TopKRouter(nn.Module):
    def __init__(self, d_model, num_experts, top_k):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)

    def forward(self, x):
        values, experts = self.gate(x).topk(self.top_k, dim=-1)
        return normalised(values), experts
"""
UNFILLED = """
class ExpertArray(nn.Module):
    def __init__(self, d_model, expert_dim, num_experts):
        super().__init__()
        raise NotImplementedError

    def __len__(self):
        return len(self.experts)

    def __getitem__(self, i):
        return self.experts[i]
"""
