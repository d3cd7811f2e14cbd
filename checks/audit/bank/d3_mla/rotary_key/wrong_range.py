"""Wrong answers to D3.3c RotaryKey: a table of rotations that ends."""

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.rotations import table_of, turned_by
from solutions.d3_mla import RotaryKey


@wrong
class TableOf64Positions(RotaryKey):
    """The rotations of 64 positions are made in the constructor."""

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.table = table_of(self, self.k_down.out_features, 64)

    def forward(self, x, start=0):
        return turned_by(self.k_down(x), self.table[start : start + x.shape[1]])
