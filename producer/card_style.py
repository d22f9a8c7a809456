"""How cards look: one sheet of styles.

Colours are laid over whatever the page has, and text takes the page's own colour, so that a card is readable on light
and dark without asking which it is: every notebook says so in another way.
"""

from __future__ import annotations

CARD_STYLE = """
.warren-card { font: 13px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: inherit;
  box-sizing: border-box; max-width: 740px; padding: 14px 18px 12px; margin: 4px 0; border-radius: 10px;
  border: 1px solid rgba(128,128,128,.35); background: rgba(128,128,128,.06); }
.warren-card b { font-weight: 600; }
.warren-card .w-head { display: flex; align-items: center; gap: 10px; }
.warren-card .w-name { font-size: 16px; font-weight: 600; overflow-wrap: anywhere; }
.warren-card .w-state { font-size: 11px; font-weight: 600; letter-spacing: .04em; padding: 1px 9px; border-radius: 99px;
  border: 1px solid currentColor; white-space: nowrap; }
.warren-card .w-running { color: #3b82f6; }
.warren-card .w-complete { color: #16a34a; }
.warren-card .w-paused { color: #c47f08; }
.warren-card .w-cancelled, .warren-card .w-gone { color: #8a8f98; }
.warren-card .w-live { margin-left: auto; font-size: 12px; opacity: .7; white-space: nowrap; }
.warren-card .w-notice { margin-top: 8px; padding: 6px 10px; border-left: 3px solid #d9930d;
  background: rgba(217,147,13,.12); border-radius: 4px; overflow-wrap: anywhere; }
.warren-card.w-stale .w-bar, .warren-card.w-stale .w-figures { opacity: .5; }
.warren-card .w-bar { display: flex; height: 8px; margin: 11px 0 7px; border-radius: 99px; overflow: hidden;
  background: rgba(128,128,128,.22); }
.warren-card .w-bar i { display: block; height: 100%; flex: none; }
.warren-card .w-bar .w-done { background: #3b82f6; }
.warren-card .w-bar .w-failed { background: #e5484d; }
.warren-card .w-bar .w-lost { background: #d9930d; }
.warren-card .w-count { display: flex; flex-wrap: wrap; gap: 0 16px; }
.warren-card .w-count span { opacity: .75; }
.warren-card .w-figures { display: flex; flex-wrap: wrap; gap: 8px 30px; margin-top: 10px; }
.warren-card .w-figures b { display: block; font-size: 17px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.warren-card .w-figures span, .warren-card .w-label { font-size: 12px; opacity: .7; }
.warren-card .w-best, .warren-card .w-curve, .warren-card .w-failures, .warren-card .w-dead, .warren-card .w-foot {
  margin-top: 11px; padding-top: 10px; border-top: 1px solid rgba(128,128,128,.22); }
.warren-card .w-best > div:first-child { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 10px; }
.warren-card .w-best b { font-size: 17px; font-variant-numeric: tabular-nums; }
.warren-card .w-params { display: flex; flex-wrap: wrap; gap: 5px 6px; margin-top: 6px; }
.warren-card .w-params span { padding: 1px 8px; border-radius: 5px; background: rgba(128,128,128,.15);
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.warren-card .w-params i { font-style: normal; opacity: .65; }
.warren-card table { border-collapse: collapse; margin: 3px 0 0; border: 0; font-size: 13px; color: inherit; }
.warren-card tr, .warren-card tr:hover { background: none !important; }
.warren-card td { padding: 1px 12px 1px 0; border: 0; text-align: left !important; vertical-align: top;
  white-space: normal; overflow-wrap: anywhere; max-width: none; }
.warren-card td:first-child { color: #e5484d; font-weight: 600; white-space: nowrap; }
.warren-card td:last-child { opacity: .65; white-space: nowrap; padding-right: 0; }
.warren-card .w-foot { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; font-size: 12px; }
.warren-card code { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: inherit;
  background: rgba(128,128,128,.15); padding: 1px 5px; border-radius: 4px; }
.warren-card .w-id { margin-left: auto; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  opacity: .65; user-select: all; }
.warren-card svg { display: block; width: 100%; height: auto; }
""".strip()
"""Styles of a card, for a ``<style>`` inside of it."""
