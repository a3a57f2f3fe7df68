//! OAuth 2.1 per tool for Model Context Protocol servers, as a tower layer.

pub mod document;
