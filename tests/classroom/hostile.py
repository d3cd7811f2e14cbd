"""What hostile learners hand in. None of it touches anything but its own folders and time."""

BROKEN = {
    "d1_moe": "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> theirs\n",
    "d2_deepseek_moe": '{"cells": [',
    "d3_mla": "",
    "d4_deepseek": "[" * 100_000,
}

# By kind, lines in place of what some exercises ask for.
HOSTILE = {
    "ends": {
        "D1.3": "import os; os._exit(0)",
        "D2.2a": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "D3.3d": "import os; os.abort()",
        "D4.3a": "import sys; sys.exit()",
    },
    "endless": {
        "D1.1": "exec('while True: pass')",
        "D1.4a": "return 9 ** 9 ** 9",
        "D2.3c": "exec('while True: print(1)')",
        "D3.2": "import time; time.sleep(10_000)",
        # One that catches whatever is raised to stop it: the limit must end it all the same.
        "D4.2b": "exec('while True:\\n    try:\\n        while True: pass\\n    except: pass')",
    },
    "greedy": {
        "D1.3": "import os; exec('while True: os.fork()')",
        "D2.2b": "return [bytearray(10**8) for _ in range(10_000)]",
        "D3.1": "exec('import os\\nwhile True: os.write(1, bytes(10**6))')",
        "D4.3c": "import torch; return torch.ones(10**7, 10**4)",
    },
    "deletes": {
        "D1.1": "import shutil; shutil.rmtree('.', True); shutil.rmtree('..', True)",
        "D2.1": "import shutil, tempfile as t; shutil.rmtree(t.gettempdir(), True)",
        "D3.1": "import pathlib, shutil; shutil.rmtree(pathlib.Path.home(), True)",
        "D4.1": "import os; os.closerange(3, 100)",
    },
}
