"""The one style of the report's pages, on light and on dark screens."""

STYLE = """
:root { color-scheme: light dark; --line: #d0d0d0; --soft: #595959; --done: #1a7f5a;
  --failed: #b3261e; --open: #6b6b6b; --link: #0b57d0; --paper: #ffffff; --ink: #1f1f1f; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #b0b0b0; --done: #5fd3a4;
  --failed: #ff8a80; --open: #a0a0a0; --link: #8ab4f8; --paper: #1b1b1d; --ink: #e8e8e8; } }
body { background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif;
  margin: 1.5em auto; max-width: 80em; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .3em .7em; text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
tr:target { outline: 2px solid var(--link); }
td ul { margin: 0; padding-left: 1.1em; } td p { margin: .2em 0; }
pre { color: var(--soft); margin: .3em 0; overflow-wrap: anywhere; white-space: pre-wrap; }
meter { width: 6em; } th:nth-child(2) { min-width: 11em; }
.wide th:nth-child(2) { min-width: 0; }
.wide { overflow-x: auto; } .wide th, .wide td { padding: .2em .35em; }
.tall span { writing-mode: vertical-rl; }
.mark { text-align: center; } .mark a:hover { text-decoration: none; }
.done { color: var(--done); } .failed { color: var(--failed); } .open { color: var(--open); }
"""
