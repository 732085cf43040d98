//! The plugin seam.
