"""Linux's namespaces, of which the offline test takes one that has no network."""

import shutil
import subprocess

ALONE = ("unshare", "--user", "--map-root-user", "--net")  # runs what follows


def has_namespaces() -> str:
    """Empty where this system gives one to everybody; else what to do, in a sentence."""
    if shutil.which("unshare") and subprocess.run([*ALONE, "true"]).returncode == 0:
        return ""
    return (
        "The offline test needs Linux's user namespaces; on Ubuntu "
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 allows them."
    )
