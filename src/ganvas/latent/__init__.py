"""Tools that draw what a model has learnt. Read `tool.py`, `scene.py` and `interpolate.py` first.

For every tool: `inputs` (images that are given), `options` (their ranges), `sheet` and `chart`
(pictures), `lettering`. Of one tool alone: `axes` of traverse; `attribute` and `moved` of concept;
`plane` and `cloud` of scatter; `hits` of neighbours; `ranked` of anomaly; `search` of project.
"""
