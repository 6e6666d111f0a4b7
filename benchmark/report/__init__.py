"""Run records in; Markdown, CSV, LaTeX and figures out. Import from the modules: `write.write_report` is the way in."""
