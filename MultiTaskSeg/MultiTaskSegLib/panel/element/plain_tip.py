"""A tip that shows names as they are."""

from __future__ import annotations

import html


def plain_tip(text: str) -> str:
    r"""The text of a tip in which no name is markup.

    Qt takes a tip for HTML where its first line has a tag, and names of images, tasks and structures come from files.

    >>> plain_tip("left\nright"), plain_tip("<b>left</b>")
    ('left\nright', '<p style="white-space: pre-wrap">&lt;b&gt;left&lt;/b&gt;</p>')
    """
    is_plain = "<" not in text and "&" not in text
    return text if is_plain else f'<p style="white-space: pre-wrap">{html.escape(text, quote=False)}</p>'
