"""The style sheet of the page of latency reports, for wide screens and phones."""

STYLE = """
:root { --ink: #222; --muted: #6d6d69; --line: #e3e3e0; --soft: #f6f6f4; --blue: #0072b2; --red: #b3261e; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1180px; margin: 2.2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.1em; margin: 2.2em 0 .6em; }
.lead { color: var(--muted); margin: .2em 0 1.4em; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: .8em; }
.card { background: var(--soft); border-radius: 10px; padding: .8em 1em; }
.card b { display: block; font-size: 1.5em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.card span { color: var(--muted); font-size: .87em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .35em .6em; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { border-bottom: 2px solid var(--ink); vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody tr { border-bottom: 1px solid var(--line); }
tr.invalid td { color: var(--muted); }
.bar { display: inline-block; height: .7em; background: var(--blue); border-radius: 2px; vertical-align: baseline; }
tr.invalid .bar { background: #b9b9b4; }
.badge { font-size: 11px; border-radius: 99px; padding: .1em .7em; color: #fff; background: #00795a; }
.badge.no { background: var(--red); }
details.why { background: #fdf1f0; border: 0; border-left: 4px solid var(--red); border-radius: 0; }
.why ul { margin: .5em 0; padding-left: 1.2em; font-size: .93em; } .why b { font-weight: 600; color: var(--red); }
td:has(.bar) { text-align: left; }
td i { display: inline-block; width: .6em; font-style: normal; }
svg { width: 100%; height: auto; display: block; }
dl { display: grid; grid-template-columns: 9em 1fr; gap: .15em 1em; font-size: 13px; margin: .6em 0 1em; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
details { border: 1px solid var(--line); border-radius: 10px; padding: .5em 1em; margin: .6em 0; }
summary { cursor: pointer; font-weight: 600; }
footer { color: var(--muted); font-size: .85em; margin: 2.5em 0 1em; }
@media (max-width: 520px) { body { font-size: 14px; } dl { grid-template-columns: 6.5em 1fr; } }
"""
