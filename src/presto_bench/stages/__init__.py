"""One module per rule: reads the rule's input files, calls the thinking, writes its output files."""
