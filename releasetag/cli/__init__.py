"""The command line: parse, call, report. No decisions."""
