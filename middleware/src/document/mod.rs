//! TOML documents, read with every fault at once.
