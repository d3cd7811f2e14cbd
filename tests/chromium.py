"""Debian's Chromium, which the browser tests drive."""

import os
import shutil
import subprocess


def has_chromium() -> str:
    """Empty once Chromium is there, which root installs; else what to do, in a sentence."""
    if shutil.which("chromium"):
        return ""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not (root and shutil.which("apt-get")):
        return "The browser tests need Chromium: sudo apt-get install chromium adds it."
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "-qq", "update"], env=environment)
    install = ["apt-get", "-qq", "install", "-y", "chromium"]
    if subprocess.run(install, env=environment).returncode != 0:
        return "apt-get could not install chromium, for the reason it gives above."
    return ""
