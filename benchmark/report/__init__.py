"""Numbers in; text and figures out: an answer, its appendix, tables, plots. Import from the modules: `write.write_report`
is the way in."""
