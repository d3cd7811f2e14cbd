"""The guided reading of DeepSeek's model.py names parts that exist, and states true numbers."""

import re
from dataclasses import fields

from course import ROOT
from helpers.model import llama
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek

READING = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
LESSON = (ROOT / "lessons" / "d4_deepseek.py").read_text(encoding="utf-8")
V3 = DeepSeekConfig.v3()
LAYERS, HEADS, BYTES = V3.num_layers, V3.num_heads, 2
CACHED = V3.d_latent + V3.d_rope
EXPANDED = HEADS * (V3.d_head + V3.d_rope + (V3.d_value or V3.d_head))
ABSORBED = HEADS * (2 * V3.d_latent + V3.d_rope)


def right_column(heading: str) -> list[str]:
    """The code in the right-hand cells of the table below a heading."""
    section = READING.split(f"## {heading}")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([\w.]+)`", row[2])]


def test_the_lesson_links_to_it():
    assert "../docs/reading.md" in LESSON


def test_sizes_are_those_of_the_configuration():
    known = {field.name for field in fields(DeepSeekConfig)}
    assert set(right_column("Sizes")[1:]) <= known


def test_parts_exist():
    taught = (d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek, llama)
    defined = {name for module in taught for name in vars(module)}
    sources = "\n".join(
        (ROOT / "solutions" / f"{module.__name__.split('.')[-1]}.py").read_text(encoding="utf-8")
        for module in taught[:-1]
    )
    for heading in ("Norm", "`MLA`", "`Gate`", "`Block`"):
        for name in right_column(heading):
            last = name.split(".")[-1]
            assert last in defined or re.search(rf"\b{last}\b", sources), name


def test_numbers():
    assert f"{HEADS} · (192 + 128) = {EXPANDED:,} numbers" in READING
    assert f"{CACHED} numbers" in READING
    assert f"{ABSORBED:,} beside {EXPANDED:,}" in READING
    assert f"{ABSORBED / EXPANDED:.1f} times as many" in READING
    positions = LAYERS * 8 * 16_384
    assert f"({positions * CACHED * BYTES / 1e9:.1f} GB" in READING
    assert f"{positions * EXPANDED * BYTES / 1e9:.0f} GB.)" in READING
    assert f"({HEADS // 8} and {V3.num_experts // 8};" in READING
