"""The documentation as a site, of the Markdown in this folder.

Usage: python -m sphinx -W docs site
"""

import sys
from pathlib import Path

from lexiseg import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "lexiseg"
version = release = __version__
copyright = "the authors of lexiseg; Apache-2.0"
html_title = f"lexiseg {__version__}"

extensions = ["myst_parser", "generate.pages"]
exclude_patterns = ["generate"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}  # generate/pages.py makes Markdown of a notebook
myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 4
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # types of signatures that have no entry; a test holds what must have one
highlight_language = "text"
smartquotes_action = "D"  # dashes; quotation marks stay as they are typed
pygments_style = "friendly"
pygments_dark_style = "github-dark"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_logo = html_favicon = "../src/lexiseg/server/page/icon.svg"
html_copy_source = False
html_show_search_summary = False  # it is fetched, which browsers refuse where the site is opened from a file
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f5d9b", "color-brand-content": "#2f5d9b"},
    "dark_css_variables": {"color-brand-primary": "#8fb8ee", "color-brand-content": "#8fb8ee"},
}
