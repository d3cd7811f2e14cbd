"""Where things lie: the folders of the house."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "work"
