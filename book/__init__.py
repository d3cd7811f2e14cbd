"""The course as pages to read: README, the solved lessons, the reference and docs/."""
