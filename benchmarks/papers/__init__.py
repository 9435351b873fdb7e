"""The tables, figures and claims of four papers, with the published numbers and ours side by side.

- ``table_specs``: which tables and figures a paper has, and which records answer each line (``tables/*.yaml``).
- ``record_index``: finds those records. ``benchmarks.analysis.comparability`` decides which may stand together.
- ``tables``, ``figures``: put published and own numbers into a table or figure. ``pages`` writes a page per paper.
- ``claim_tests``: how a claim is tested. ``claims``: all claims of ``claims.yaml`` with their results, and their page.

What the papers state is read by ``benchmarks.analysis.published``.
"""
