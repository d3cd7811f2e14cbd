"""The traffic of a checkpoint's experts, by layer and by domain: code, prose, another language.

Letters: N domains, E = num_experts.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.measuring.traffic import chosen_experts, layers_of, relative_load
from helpers.model.device import device_of

DOMAINS = {
    "code": (
        "def merge(left, right):\n    merged = []\n    while left and right:\n"
        "        source = left if left[0] <= right[0] else right\n"
        "        merged.append(source.pop(0))\n    return merged + left + right\n\n\n"
        "class Queue:\n    def __init__(self):\n        self.items = []\n\n"
        "    def push(self, item):\n        self.items.append(item)\n\n"
        "    def pop(self):\n        return self.items.pop(0) if self.items else None\n"
    ),
    "prose": (
        "The harbour was quiet when the last boat came in. An old woman stood at the end of the "
        "pier and counted the lamps, as she had done every evening since the storm. Nobody asked "
        "her why. In the morning the nets would be dry, the gulls would be back, and the children "
        "would run along the wall as if the sea had never taken anything from anyone."
    ),
    "German": (
        "Am Abend wurde es still auf dem Markt. Der Bäcker schloss seinen Laden, und die letzten "
        "Tauben flogen über die Dächer zum Turm. Wer jetzt noch unterwegs war, ging schnell, denn "
        "der Wind kam von Norden und roch nach Schnee. Nur im Gasthaus brannte Licht, und man "
        "hörte, wie jemand leise ein Lied sang, das alle kannten."
    ),
}


@torch.no_grad()
def traffic_by_domain(
    model: Any, encode: Callable[[str], list[int]], texts: Mapping[str, str] = DOMAINS
) -> list[Float[Tensor, "N E"]]:
    """Each layer's load relative to the even share, a row per domain."""
    ids = [torch.tensor([encode(text)], device=device_of(model)) for text in texts.values()]
    chosen = [chosen_experts(model, each) for each in ids]
    found = []
    for i, layer in enumerate(layers_of(model)):
        experts = torch.cat([choices[i] for choices in chosen])
        domain = [n for n, choices in enumerate(chosen) for _ in choices[i]]
        found.append(relative_load(experts, domain, len(texts), len(layer.router.bias)))
    return found
