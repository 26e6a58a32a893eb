"""All cases of a cohort at a glance: tables, and a page with charts and the worst cases."""
