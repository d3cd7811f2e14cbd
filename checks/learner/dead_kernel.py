"""A plugin of pytest for nbval: who waits for a kernel that has died is told so within a second."""

import time
from queue import Empty
from typing import Any

POLL = 1.0  # seconds between two looks at the kernel
DIED = "the kernel died while this cell ran: too little memory, or something ended the process"


def pytest_configure() -> None:
    """From now on nbval looks, while it waits for a message, whether the kernel is alive."""
    from nbval.kernel import RunningKernel

    get_message = RunningKernel.get_message

    def get_message_of_the_living(
        self: RunningKernel, stream: str, timeout: float | None = None
    ) -> Any:
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            left = end - time.monotonic()
            try:
                return get_message(self, stream, timeout=max(0.0, min(POLL, left)))
            except Empty:
                if not self.is_alive():
                    raise RuntimeError(DIED) from None
                if left <= POLL:
                    raise

    RunningKernel.get_message = get_message_of_the_living
