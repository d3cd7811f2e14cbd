"""Right and wrong answers to the exercises of D4."""

from checks.answers import (
    d4_block_right,
    d4_block_wrong,
    d4_block_wrong_form,
    d4_count,
    d4_count_wrong,
    d4_generate_right,
    d4_generate_wrong,
    d4_generate_wrong_cache,
    d4_loss,
    d4_mtp,
    d4_mtp_wrong,
    d4_mtp_wrong_form,
    d4_sample,
    d4_sample_wrong,
    d4_stack_right,
    d4_stack_wrong,
    d4_stack_wrong_cache,
    d4_train_right,
    d4_train_wrong,
    d4_train_wrong_bias,
    d4_train_wrong_form,
    d4_worth,
)
from checks.answers.bank import Bank

_PARTS = (
    d4_block_right,
    d4_block_wrong,
    d4_block_wrong_form,
    d4_stack_right,
    d4_stack_wrong,
    d4_stack_wrong_cache,
    d4_count,
    d4_count_wrong,
    d4_loss,
    d4_train_right,
    d4_train_wrong,
    d4_train_wrong_bias,
    d4_train_wrong_form,
    d4_sample,
    d4_sample_wrong,
    d4_generate_right,
    d4_generate_wrong,
    d4_generate_wrong_cache,
    d4_mtp,
    d4_mtp_wrong,
    d4_mtp_wrong_form,
    d4_worth,
)

bank = Bank("d4_deepseek", *(part.bank for part in _PARTS))
