"""lessons/needs.py: what a section takes from another one, which a restart does not bring back."""

from lessons.needs import main, needs

LESSON = """\
# %% [markdown]
# ## Set-up

# %% tags=["setup"]
import math

# %% [markdown]
# ## First

# %% tags=["exercise"] exercise="D1.1"
from solutions.d1_tiny import double

# %%
def helper(x):
    return double(x) + x

# %%
x = helper(math.pi)
trained = x

# %% [markdown]
# ## Second

# %%
x = double(2)
print(x, helper(x), math.e)

# %% [markdown]
# ## Third

# %%
print(trained)

# %% [markdown]
# ## Fourth

# %%
print(x)
"""
SOLUTION = """\
def double(x):
    # BEGIN SOLUTION
    return x + x
    # END SOLUTION
"""


def test_what_comes_back_or_is_made_in_the_section_is_not_needed(tmp_path, capsys):
    for name, text in {"lessons/d1_tiny.py": LESSON, "solutions/d1_tiny.py": SOLUTION}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    assert needs(tmp_path, "d1_tiny") == {
        "Third": {"trained": "First"},
        "Fourth": {"x": "Second"},
    }
    assert main(["d1"], tmp_path) == 0
    assert capsys.readouterr().out == ("d1_tiny\n  Third: trained (First)\n  Fourth: x (Second)\n")
