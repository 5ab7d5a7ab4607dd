//! Seeded chaos, told as stories: see `tests/`, one story a file.
