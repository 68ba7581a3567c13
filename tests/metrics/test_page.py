"""What all pages share: nothing from elsewhere, and no script but their own."""

from __future__ import annotations

import base64
import hashlib
import re

from hearken.metrics import page
from hearken.metrics.tabulate import Table

EVIL = '"><script>alert(1)</script>'


def test_only_the_pages_own_script_is_allowed():
    text = page.whole(EVIL, "<p>body</p>", script="let a = 1;")
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert re.findall(r"<script>.*?</script>", text) == ["<script>let a = 1;</script>"]
    assert "&lt;script&gt;alert(1)" in text


def test_a_page_without_a_script_allows_none():
    text = page.whole("a", "b")
    assert "script" not in text
    assert "</style></head><body>" in text


def test_a_section_of_nothing_is_nothing():
    assert page.section("head", "", "", aside="not shown") == ""
    assert page.section("a<b", "x", aside="c<d") == (
        '<section><h2>a&lt;b<span class="small">c&lt;d</span></h2>x</section>'
    )


def test_a_table_escapes_its_cells():
    text = page.table(Table(EVIL, ("name", "value"), ((EVIL, 0.5),), ("note <b>",)))
    assert "<script" not in text
    assert "<td>0.50</td>" in text
    assert "note &lt;b&gt;" in text
