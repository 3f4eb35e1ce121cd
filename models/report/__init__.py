"""The report's page: pure functions from tables and pictures to HTML and inline SVG."""
