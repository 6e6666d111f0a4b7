"""Numbers in; text and figures out: one page, tables, plots. Import from the modules: `write.write_report` is the way in."""
