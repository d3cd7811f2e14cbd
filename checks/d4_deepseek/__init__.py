"""The checks of D4, in the order of the lesson."""

from checks.d4_deepseek.block import check_deepseek_block
from checks.d4_deepseek.count import check_count_parameters
from checks.d4_deepseek.generation.generate import check_generate
from checks.d4_deepseek.generation.sample import check_sample
from checks.d4_deepseek.machines.dispatch import check_expert_parallel_dispatch
from checks.d4_deepseek.machines.rebalance import check_rebalance_together
from checks.d4_deepseek.machines.rows import check_rows_to_send
from checks.d4_deepseek.mtp import check_mtp
from checks.d4_deepseek.my_config import check_my_config
from checks.d4_deepseek.stack import check_deepseek
from checks.d4_deepseek.training.loss import check_masked_loss
from checks.d4_deepseek.training.train import check_train
from checks.d4_deepseek.worth import check_worth

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
    check_rows_to_send,
    check_expert_parallel_dispatch,
    check_rebalance_together,
)

OPEN_TASKS = (check_my_config,)
