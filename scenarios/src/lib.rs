//! Seeded chaos, told as stories: see `tests/`.
