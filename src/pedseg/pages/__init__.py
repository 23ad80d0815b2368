"""Pages that open in a browser from the disk: what they are made of, and how they are written."""

PAGE = "index.html"
SCRIPT = "niivue.js"
PAGE_FILES = (PAGE, SCRIPT)
RESEARCH = "Research software: not for clinical decisions."
VOLUMES = "volumes"  # folder beside a page whose volumes do not fit into it
