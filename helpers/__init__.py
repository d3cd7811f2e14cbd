"""What the notebooks use and do not teach: models, data, training, measuring and pictures.

Importing it before torch makes torch's threads sleep while they wait for each other. By default
they spin, and on two busy cores a training step then takes ten times as long. A setting of one's
own stays. Old names of modules can be imported from then on, too.
"""

import os

from helpers import moved

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch loads its OpenMP
moved.install()
