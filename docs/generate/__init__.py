"""What the site's pages hold beside their Markdown: navigation, every command, every public name."""
