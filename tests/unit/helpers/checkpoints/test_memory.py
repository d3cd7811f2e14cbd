"""A folder with V2-Lite's true layer shapes is read where it lies: what of it comes into memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from course import ROOT

LAYERS, NEW = 3, 20

# Random weights of V2-Lite's shapes, in shards of one layer each, written by another process.
WRITE = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from helpers.checkpoints.released import released_configs
from helpers.checkpoints.fields import model_fields
from helpers.checkpoints.written import released_weights
from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d4_deepseek import DeepSeek

folder, layers = Path(sys.argv[1]), int(sys.argv[2])
config = released_configs()["V2-Lite"] | {"num_hidden_layers": layers}
with torch.device("meta"):
    model = DeepSeek(DeepSeekConfig(**model_fields(config)))
empty = released_weights(model.config, {
    name: torch.empty_like(value, dtype=torch.bfloat16, device="meta")
    if "router.bias" not in name else torch.zeros(value.shape)
    for name, value in model.state_dict().items()
})
index = {}
for layer in [*map(str, range(layers)), "rest"]:
    own = [n for n in empty if (n.split(".")[2] if ".layers." in n else "rest") == layer]
    file = f"model-{layer}.safetensors"
    made = {n: torch.empty(empty[n].shape, dtype=torch.bfloat16).normal_(std=0.02) for n in own}
    save_file(made, folder / file)
    index |= dict.fromkeys(own, file)
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
(folder / "config.json").write_text(json.dumps(config))
"""

READ = """
import json, sys
import torch
from solutions.d4_deepseek import DeepSeek, generate
from helpers.measuring.traffic import layers_of

def memory():
    lines = open("/proc/self/status").read().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return [1024 * int(found[name].split()[0]) for name in ("RssAnon", "RssFile")]

torch.set_num_threads(1)
before = memory()
model = DeepSeek.from_hf(sys.argv[1])
chosen = [set() for _ in layers_of(model)]
for seen, layer in zip(chosen, layers_of(model)):
    layer.register_forward_hook(
        lambda layer, i, o, seen=seen: seen.update(layer.last_experts.flatten().tolist())
    )
generate(model, torch.arange(5)[None], int(sys.argv[2]), temperature=0)
after = memory()
expert = sum(p.nbytes for p in layers_of(model)[0].experts[0].parameters())
held = sum(p.nbytes for layer in layers_of(model) for p in layer.experts.parameters())
whole = sum(p.nbytes for p in model.parameters())
used = whole - held + expert * sum(map(len, chosen))
print(json.dumps([after[0] - before[0], after[1] - before[1], used, whole]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lite")
    run(WRITE, str(made), str(LAYERS))
    return made


def run(program: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_little_is_copied_and_only_what_is_used_is_read(folder: Path) -> None:
    anonymous, mapped, used, whole = json.loads(run(READ, str(folder), str(NEW)).splitlines()[-1])
    assert anonymous <= 0.1 * whole, (anonymous, whole)
    assert mapped <= 1.1 * used, (mapped, used)
