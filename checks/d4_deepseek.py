"""The checks of D4, in the order of the lesson."""

from checks.d4_block import check_deepseek_block
from checks.d4_count import check_count_parameters
from checks.d4_generate import check_generate
from checks.d4_loss import check_masked_loss
from checks.d4_mtp import check_mtp
from checks.d4_sample import check_sample
from checks.d4_stack import check_deepseek
from checks.d4_train import check_train
from checks.d4_worth import check_worth

CHECKS = (
    check_deepseek_block,
    check_deepseek,
    check_count_parameters,
    check_masked_loss,
    check_train,
    check_sample,
    check_generate,
    check_mtp,
    check_worth,
)
