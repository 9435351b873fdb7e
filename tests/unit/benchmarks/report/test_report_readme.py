from paradigm_bench.benchmarks.report.overview import refresh


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- answer -->\nold\n<!-- /answer -->\nafter\n")
    assert refresh(readme, "answer", "| new |")
    assert readme.read_text() == "before\n<!-- answer -->\n| new |\n<!-- /answer -->\nafter\n"
    assert refresh(readme, "answer", "| new |")
    assert readme.read_text().count("| new |") == 1


def test_a_readme_without_markers_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    assert not refresh(readme, "answer", "| new |")
    readme.write_text("mine\n<!-- answer -->\n")
    assert not refresh(readme, "answer", "| new |")
    assert readme.read_text() == "mine\n<!-- answer -->\n"
