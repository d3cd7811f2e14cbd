"""What the notebooks use and do not teach: models, data, training, measuring and pictures.

Importing it before torch makes torch's threads sleep while they wait for each other, after some
microseconds of spinning. By default they spin for long, and on two busy cores a training step then
takes ten times as long; if they sleep at once, a step of D4 takes 1.6 times as long on two idle
ones. A setting of one's own stays. Old names of modules can be imported from then on, too.
"""

import os

from helpers import moved

# read once, when torch loads its OpenMP
if os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE") == "PASSIVE":
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
moved.install()
