import time
from checks.d4_deepseek import *
from solutions import d4_machines as m
if __name__=="__main__":
    for c,f in ((check_rows_to_send,m.rows_to_send),(check_rebalance_together,m.rebalance_together),(check_expert_parallel_dispatch,m.expert_parallel_dispatch)):
        for s in range(4):
            t=time.time(); print(c(f,seed=s).passed, c.id, round(time.time()-t,2), flush=True)
