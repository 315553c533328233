"""The staff's pages in a real browser: `make test-browser`. Files are named walk_*.py, so that `make test`, which needs
no browser, leaves them alone; `make screenshots` takes the pictures of docs/staff.md (shoot_*.py)."""
