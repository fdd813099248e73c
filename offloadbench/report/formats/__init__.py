"""A report as HTML, Markdown, or files of plots."""
