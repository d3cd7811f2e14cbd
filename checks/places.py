"""Where things lie: the four lessons' stems and the folders of the house."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
STEMS = ("d1_moe", "d2_deepseek_moe", "d3_mla", "d4_deepseek")
