"""The tables, figures and claims of four papers, with the published numbers and ours side by side.

- ``table_specs``: which tables and figures a paper has, and which records answer each line (``tables/*.yaml``).
- ``record_index``: finds those records. ``benchmarks.analysis.comparability`` decides which may stand together.
- ``tables``, ``figures``: put published and own numbers into a table or figure. ``pages`` writes a page per paper.
- ``contrasts``, ``requirements``, ``claim_tests``: what a claim is tested by, what a verdict needs, and how it is made.
- ``claims``: all claims with their tests (``claims/*.yaml``) and verdicts. ``claims_page``: their page.

What the papers state is read by ``benchmarks.analysis.published``.
"""
